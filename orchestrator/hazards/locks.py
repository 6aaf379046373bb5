"""Reading what threads wait for each other with: locks, events, queues."""

from __future__ import annotations

import ast
from dataclasses import replace

from orchestrator.hazards import tables
from orchestrator.hazards.expressions import Expressions
from orchestrator.hazards.values import SOMEWHERE, Object, Text, deeper

TYPE_CHECKING = False
if TYPE_CHECKING:
    from orchestrator.hazards.frames import Given
    from orchestrator.hazards.values import Resource, Value

_LOOKS = frozenset({"empty", "full", "qsize"})
_AT_ONCE = frozenset({"get_nowait", "put_nowait"})


class Locks(Expressions):
    """Knows what holds other threads up."""

    def enter(self, value: Value | None) -> None:
        """Hold *value* where it is a lock."""
        if not isinstance(value, Object) or value.resource is None:
            return
        # what nobody knows, and is entered: a lock out of a mapping, or made elsewhere
        if value.made_by is None or value.made_by in tables.LOCKS:
            self.hold(deeper(value.resource, SOMEWHERE) if value.element else value.resource)

    def by_hand(self, base: Object, name: str, given: Given) -> None:
        """Note what the method *name* of a lock, an event or a queue does."""
        if base.resource is None:
            return
        if base.made_by in tables.LOCKS:
            self._lock(base.resource, name, given)
        elif base.made_by == "threading.Event":
            self._event(base.resource, name, given)
        elif base.made_by in tables.QUEUES:
            self._queue(base.resource, name, given)

    def _lock(self, lock: Resource, name: str, given: Given) -> None:
        if name in ("acquire", "__enter__"):
            waits = not given.may_be_false(0, "blocking") and not given.has(1, "timeout")
            if waits or given.node is not self.unused:
                self.hold(lock)
        elif name in ("release", "__exit__"):
            if self.held.pop(lock, None) is None:
                self.done.frees |= {lock}
        elif name in ("wait", "wait_for") and lock in self.held:
            del self.held[lock]  # others have it meanwhile
            self.hold(lock)

    def _event(self, event: Resource, name: str, given: Given) -> None:
        asked = given.node is not self.unused
        if name == "wait" and (asked or not given.has(0, "timeout")):
            self.hold(("after", *event))
        elif name == "set":
            self.happened(event)

    def happened(self, event: Resource) -> None:
        """Note that all up to here is done before *event* is set."""
        if self.loops:
            return  # and what is done in the next round is not
        before = frozenset([("before", *event)])
        done = self.done
        done.sets |= {event}
        done.effects = [replace(e, locks=e.locks | before) for e in done.effects]
        done.calls = [replace(call, locks=call.locks | before) for call in done.calls]

    def _queue(self, queue: Resource, name: str, given: Given) -> None:
        at_once = name in _AT_ONCE or (name == "get" and not given.node.keywords)
        if name in _LOOKS:
            self.look(given.node, queue, "read", one=True)
        elif at_once and not self.lenient:
            self.write(given.node, (queue, True), name, {}, one=True)

    def lock_file(self, given: Given) -> None:
        """Hold the file whose handle ``flock`` is given; who opens it to lock it does no harm."""
        handle = given.at(0)
        if not isinstance(handle, Object) or handle.resource is not None:
            return  # all who use one handle have its lock
        path = dict(handle.fields).get("path")
        if not isinstance(path, Text):
            return
        file = ("file", path.key() if path.parameter else path.before)
        lock: Resource = ("lock file", file[1] or "")
        if "LOCK_UN" in ast.unparse(given.node):
            self.held.pop(lock, None)
            return
        self.hold(lock)
        opened = (effect for effect in self.done.effects if effect.resource == file)
        for effect in list(opened):
            at = self.done.effects.index(effect)
            self.done.effects[at] = replace(effect, locks=effect.locks | {lock})
