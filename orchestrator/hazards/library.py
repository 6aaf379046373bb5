"""Reading calls of what is not the job's own, and stores to what outlives a call."""

from __future__ import annotations

import ast
import os
from dataclasses import replace

from orchestrator.hazards import tables
from orchestrator.hazards.expressions import joined_path
from orchestrator.hazards.items import says
from orchestrator.hazards.locks import Locks
from orchestrator.hazards.sources import named
from orchestrator.hazards.values import (
    NEW,
    Class,
    Function,
    Object,
    Outside,
    Text,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from orchestrator.hazards.frames import Given, Kind
    from orchestrator.hazards.values import Resource, Value

_LATER = frozenset({"submit", "apply_async", "run_in_executor", "to_thread"})
# Arguments that are called where the call was made, when the other process is done.
_CALLED_BACK = frozenset({"callback", "error_callback"})
_AS_IT_IS = frozenset(
    {"isinstance", "issubclass", "id", "callable", "hasattr", "type", "super", "bool"}
)
_ABSOLUTE = ("/", "~")


class Library(Locks):
    """Knows what calls touch that are not followed."""

    def unknown(self, given: Given, name: str, base: Object | None = None) -> None:
        """Take it that a call which is not followed looks through what it is given, and calls it.

        Not where *base* or an argument has it called in another process.
        """
        here = not any(_elsewhere(value) for value in (base, *given.positional))
        for index, value in enumerate(given.positional):
            if isinstance(value, Function):
                rest = given.positional[index + 1 :] if name in _LATER else []
                keywords = given.keywords if name in _LATER else {}
                if here:
                    self.invoke(value, rest, keywords, given.node, value.receiver)
            else:
                self.escape(value, given.node)
        for keyword, value in given.keywords.items():
            if not isinstance(value, Function):
                self.escape(value, given.node)
            elif here or keyword in _CALLED_BACK:
                self.invoke(value, [], {}, given.node, value.receiver)

    def file(
        self,
        path: Value | None,
        mode: str,
        node: ast.AST,
        chosen: str | None = None,
        how: str = "opened",
    ) -> None:
        """Record that *path* is opened with *mode*, or with what parameter *chosen* is given."""
        if not isinstance(path, Text) or not path.whole:
            return
        resource: Resource = ("file", path.before)
        if path.parameter is not None:
            resource = ("file", path.key() or "")
        elif not path.before:
            return
        elif not path.before.startswith(_ABSOLUTE):
            self.record(node, tables.CWD, "read", "relative")
        kind = kind_of(mode)
        if chosen is not None:
            resource = ("mode", chosen, *resource)
        self.record(node, resource, kind, how)
        if kind == "write":
            self.record(node, tables.UMASK, "read", "created")

    def outside(self, dotted: str, given: Given) -> Value | None:
        """Record what a call of *dotted*, which is not the job's own, touches."""
        node = given.node
        asks = len(node.args) + len(node.keywords) <= tables.ASKS.get(dotted, -1)
        for resource, kind in tables.touched_by(dotted):
            self.touch(resource, "read" if asks else kind, node, dotted)
        if dotted in tables.STARTERS:
            self._starts(given)
        if self.module.patched and ast.unparse(node.func) in self.module.patched:
            self.read(node, ("global", *dotted.rpartition(".")[::2]))
        name = dotted.rpartition(".")[2]
        if dotted.startswith("builtins.") and dotted not in tables.OPENERS:
            return self._builtin(name, given)
        if dotted in tables.PATCHES:
            self._patch(dotted, given)
        elif dotted in ("fcntl.flock", "msvcrt.locking"):
            self.lock_file(given)
        elif dotted == "os.getenv":
            self.item(Object("dict", tables.ENVIRON), given.key, node)
        else:
            return self._of_files(dotted, given) or self._made(dotted, name, given)
        return None

    def _of_files(self, dotted: str, given: Given) -> Value | None:
        """Record what a call of *dotted* does to files that it is given the paths of."""
        if dotted in tables.OPENERS:
            return self._opens(dotted, given)
        if dotted == "os.makedirs" and not given.may_be_true(2, "exist_ok"):
            self.file(given.at(0), "w", given.node, how="folder")
        for index, mode in enumerate(tables.MOVERS.get(dotted, ())):
            self.file(given.at(index), mode, given.node)
        return None

    def _opens(self, dotted: str, given: Given) -> Value | None:
        position, mode_at, mode = tables.OPENERS[dotted]
        chosen = None if mode_at is None else given.at(mode_at, "mode")
        if dotted == "os.open":
            mode = _mode_of_flags(given.node.args[1:2])
            if not mode:
                return None
        path = given.at(position, "file")
        if dotted in tables.FOLDERS:
            self.file(path, mode, given.node, how="folder")
            return Object(dotted)
        self.open(path, mode, chosen, given.node)
        fields = (("path", path),) if isinstance(path, Text) else ()
        return Object("builtins.open" if "open" in dotted else dotted, fields=fields)

    def open(self, path: Value | None, mode: str, chosen: Value | None, node: ast.AST) -> None:
        """Record that *path* is opened with the mode *chosen*, or with *mode* where none is."""
        if isinstance(chosen, Text) and chosen.parameter is not None:
            whole = not chosen.before and not chosen.after
            self.file(path, mode, node, chosen.key() if whole else None)
        else:
            self.file(path, chosen.before if isinstance(chosen, Text) else mode, node)

    def touch(self, resource: Resource, kind: str, node: ast.AST, dotted: str) -> None:
        """Record that a call of *dotted* touches something that the process has one of."""
        if kind == "read":
            self.record(node, resource, "read", dotted)
            self.note((resource, False), node)
        elif kind == "write":
            self.record(node, resource, "write", dotted)
        else:
            self.record(node, resource, "update", dotted)

    def _starts(self, given: Given) -> None:
        self.record(given.node, tables.PROGRAMS, "read", "started")
        if "env" not in given.keywords:
            self.record(given.node, tables.ENVIRON, "read", "inherited", inside=True)
        if "cwd" not in given.keywords:
            self.record(given.node, tables.CWD, "read", "inherited")

    def _made(self, dotted: str, name: str, given: Given) -> Value | None:
        """Return what a call of an outside name other than a builtin gives."""
        node = given.node
        first = given.at(0)
        if dotted in tables.PATHS:
            return joined_path(given.positional)
        known = self._known(dotted, name, given)
        if known is not None:
            return known
        if dotted == "logging.getLogger" and node.args and _is_of_one_call(first):
            return Object("logging.Logger")
        if dotted in tables.CHANGERS:
            if isinstance(first, Object) and first.resource is not None:
                spot = (first.resource, True)
                how = "checked" if any(spot in guard for guard in self.guards) else "changed"
                self.record(node, first.resource, "update", how, inside=True)
            return None
        if dotted in tables.CONTAINERS:
            return self._container(dotted, name, given)
        if isinstance(first, Function) and dotted in tables.TRANSPARENT:
            return first
        if isinstance(first, Function) and dotted == "functools.partial":
            return replace(first, ahead=(*first.ahead, *given.positional[1:]))
        if dotted in ("copy.copy", "copy.deepcopy"):
            self.escape(first, node, one=dotted == "copy.copy" and copies(first))
            return Object(first.made_by) if isinstance(first, Object) else None
        self.unknown(given, name, Object(dotted))
        return Object(dotted)

    def _known(self, dotted: str, name: str, given: Given) -> Value | None:
        """Return an object of which more is known than what made it."""
        first = given.at(0)
        if dotted in tables.FILE_LOCKS:
            return Object(dotted, _lock_file(first))
        if name == "Condition" and dotted in tables.LOCKS and isinstance(first, Object):
            return Object(dotted, first.resource)
        if name.endswith("Semaphore") and dotted in tables.LOCKS:
            count = given.node.args[0] if given.node.args else None
            single = count is None or getattr(count, "value", 0) == 1
            return Object(dotted if single else "threading.local")
        if dotted in tables.NEW:
            return Text("", (NEW,))
        kept = tuple((key, value) for key, value in given.keywords.items() if value is not None)
        if dotted in tables.NAMESPACES:
            return Object(dotted, fields=kept)
        if dotted == "contextvars.ContextVar" and kept:
            return Object(dotted, fields=kept)
        return None

    def _container(self, dotted: str, name: str, given: Given) -> Value:
        """Return a container that a call of *dotted* makes, with what it is known to hold."""
        first, kind = given.at(0), tables.CONTAINERS[dotted]
        if dotted == "collections.defaultdict":
            makes = (("missing", first),) if isinstance(first, Function | Class) else ()
            return Object(kind, fields=makes)
        if copies(first):
            self.escape(first, given.node, one=True)
        else:
            self.unknown(given, name)
        fields = [("", part) for part in first.parts()] if isinstance(first, Object) else []
        for key, value in given.keywords.items():
            if value is not None and says(value):
                fields.append((f"[{key!r}]", value))
        return Object(kind, fields=tuple(fields))

    def _builtin(  # noqa: C901 - a case for each function
        self, name: str, given: Given
    ) -> Value | None:
        node, first = given.node, given.at(0)
        if name in ("getattr", "setattr"):
            return self._by_name(name, given)
        if name == "len":
            if isinstance(first, Object) and first.resource is not None:
                self._length(first, first.resource, node)
        elif name == "type" and isinstance(first, Object) and isinstance(first.made_by, Class):
            return first.made_by
        elif name == "next":
            return self._next(first, node)
        elif name == "str":
            if isinstance(first, Text):
                return first
            self.unknown(given, name)
        elif name in ("iter", "map", "filter", "zip", "enumerate"):
            self.unknown(given, name)
            return Object(f"builtins.{name}")
        elif f"builtins.{name}" in tables.CONTAINERS:
            return self._container(f"builtins.{name}", name, given)
        elif name in ("sorted", "tuple", "frozenset") and copies(first):
            self.escape(first, node, one=True)
        elif name not in _AS_IT_IS:
            self.unknown(given, name)
        return Object(f"builtins.{name}") if name in ("frozenset", "object", "range") else None

    def _by_name(self, name: str, given: Given) -> Value | None:
        """Read or set an attribute; where its name is not known, any may be set."""
        node, first, text = given.node, given.at(0), given.at(1)
        if isinstance(text, Text) and text.parameter is None and text.whole:
            if name == "getattr":
                return self.attribute_of(first, text.before, node)
            self.store_attribute(first, text.before, node, given.taint)
        elif name == "setattr":
            for each in self.attributes(first):
                self.store_attribute(first, each, node, given.taint)
        return None

    def _patch(self, dotted: str, given: Given) -> None:
        """Record what ``mock.patch`` sets for a while."""
        target, name = given.at(0), given.at(1)
        if isinstance(target, Text):
            first, *path = target.before.split(".")
            target = named(first, self.reader.sources)
            if not dotted.endswith(".dict"):
                *path, last = path or [""]
                name = Text(last)
            for step in path:
                target = self.attribute_of(target, step, given.node)
        if not dotted.endswith(".dict"):
            if isinstance(name, Text) and name.before:
                self.store_attribute(target, name.before, given.node, {})
        elif isinstance(target, Object) and target.resource is not None:
            self.record(given.node, target.resource, "update", "patched", inside=True)

    def _length(self, first: Object, resource: Resource, node: ast.AST) -> None:
        if isinstance(first.made_by, Class):
            method = self.reader.method(first.made_by, "__len__")
            if method is not None:
                self.invoke(method, [], {}, node, first)
                return
        self.look(node, resource, "measured", one=True)

    def _next(self, first: Value | None, node: ast.AST) -> Value | None:
        if isinstance(first, Object) and first.made_by == "itertools.count":
            return Text("", (NEW,))
        if not isinstance(first, Object) or first.resource is None or self.is_safe(first):
            return None
        if first.made_by in tables.ITERATORS:
            self.record(node, first.resource, "update", "stepped", inside=True)
        return None


def copies(value: Value | None) -> bool:
    """Tell whether all that *value* holds can be had in one step."""
    return isinstance(value, Object) and value.made_by in (*tables.SHARED_CONTAINERS, "view")


def _elsewhere(value: Value | None) -> bool:
    """Tell whether what *value* is given to call runs in another process."""
    made_by = value.made_by if isinstance(value, Object) else None
    if not isinstance(made_by, str) or made_by in tables.THREAD_POOLS:
        return False
    return made_by.startswith("multiprocessing.") or made_by.endswith(".ProcessPoolExecutor")


def _lock_file(path: Value | None) -> Resource | None:
    if not isinstance(path, Text) or not path.whole:
        return None
    return ("lock file", (path.parameter and path.key()) or os.path.normpath(path.before))


def _is_of_one_call(name: Value | None) -> bool:
    """Tell whether *name* may be another in each call."""
    return not isinstance(name, Outside) and not (isinstance(name, Text) and not name.parameter)


def kind_of(mode: str) -> Kind:
    """Return what is done to a file that is opened with *mode*."""
    if "+" in mode:
        return "update"
    plain = mode.partition(":")[0].partition("|")[0]  # ``r:xz`` of tarfile names what packs it
    return "write" if set(plain) & set("wax") else "read"


def _mode_of_flags(flags: list[ast.expr]) -> str:
    """Return the mode that the flags of ``os.open`` amount to; nothing where only one gets it."""
    parts = [part for flag in flags for part in ast.walk(flag)]
    said = {
        part.attr if isinstance(part, ast.Attribute) else getattr(part, "id", "") for part in parts
    }
    if "O_EXCL" in said:
        return ""
    if "O_RDWR" in said:
        return "r+"
    return "w" if said & {"O_WRONLY", "O_CREAT", "O_TRUNC", "O_APPEND"} else "r"
