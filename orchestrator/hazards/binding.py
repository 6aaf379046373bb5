"""What the instances of a task give to their function, put in where an effect leaves it open."""

from __future__ import annotations

import copy
import re
from dataclasses import replace

from orchestrator.errors import TemplateError
from orchestrator.hazards.library import kind_of
from orchestrator.hazards.values import HOLE, NEW, SOMEWHERE, keyed, keys_in, with_keys
from orchestrator.plan import templates

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from orchestrator.hazards.effects import Effect, Reading
    from orchestrator.hazards.values import Resource, Text
    from orchestrator.plan.model import PlanTask

# Of more instances than this, the rest is left out: the first will be told anyway.
MAX_INSTANCES = 500
_NOTHING = object()  # nobody knows
_ANOTHER = object()  # nor this, but it is another for each instance
_STEP = re.compile(r"\[[^\]]*\]")


class Binding:
    """Fills in effects for the tasks of a plan, each task of which is read once.

    Where instances differ in what is touched, they are told apart: there is a task for those that
    touch the same, of as many instances as they are.
    """

    def __init__(self) -> None:
        self._parts: dict[tuple[int, tuple[int, ...]], PlanTask] = {}
        self._values: dict[tuple[int, Text], list[Any]] = {}

    def bound(
        self, effect: Effect, task: PlanTask, reading: Reading
    ) -> Iterator[tuple[Effect, PlanTask]]:
        """Yield *effect* as it is for instances of *task*, each with the task that stands for them.

        An effect on what nobody knows is left out; a lock that nobody knows is one of many.
        """
        keys = [key for part in (effect.resource, *effect.locks) for key in keys_in(part)]
        if effect.resource[0] == "mode":
            keys += keys_in(effect.resource[:2])
        columns = {key: self._column(key, task, reading) for key in keys}
        alike: dict[tuple[str, ...], list[int]] = {}
        for at in range(len(next(iter(columns.values()), [None]))):
            signature = tuple(repr(column[at]) for column in columns.values())
            alike.setdefault(signature, []).append(at)
        for places in alike.values():
            said = {key: column[places[0]] for key, column in columns.items()}
            found = _filled(effect, said)
            if found is not None:
                yield found, self._part(task, places)

    def _column(self, key: Text, task: PlanTask, reading: Reading) -> list[Any]:
        """Return what *key* is for each instance of *task*."""
        at = (id(task), key)
        if at not in self._values:
            items = [_NOTHING] if task.items is None else task.items[:MAX_INSTANCES]
            self._values[at] = [_said(key, task, reading, item) for item in items]
        return self._values[at]

    def _part(self, task: PlanTask, places: list[int]) -> PlanTask:
        """Return a task of those instances only."""
        if task.items is None or len(places) == len(task.items):
            return task
        at = (id(task), tuple(places))
        if at not in self._parts:
            self._parts[at] = copy.copy(task)
            self._parts[at].items = [task.items[place] for place in places]
        return self._parts[at]


def is_open(effect: Effect) -> bool:
    """Tell whether what *effect* touches, or the locks that it is under, depend on arguments."""
    return keyed(effect.resource) or any(map(keyed, effect.locks)) or effect.resource[0] == "mode"


def _filled(effect: Effect, said: dict[Text, Any]) -> Effect | None:
    """Return *effect* with what was *said* put in; None where it touches what nobody knows."""
    resource = effect.resource
    if resource[0] == "mode":
        (mode,) = (said[key] for key in keys_in(resource[:2]))
        resource = resource[2:]
        effect = replace(effect, kind=kind_of(mode) if isinstance(mode, str) else "read")
    keys = keys_in(resource)
    locks = frozenset(_lock(lock, said) for lock in effect.locks)
    effect = replace(effect, locks=locks)
    if resource[0] == "file":
        texts = all(isinstance(said[key], str) and said[key] for key in keys)
        path = with_keys(resource, lambda key: str(said[key]))
        return replace(effect, resource=path) if texts else None
    if any(said[key] is _ANOTHER for key in keys):
        return None
    known = with_keys(resource, lambda key: "…" if said[key] is _NOTHING else repr(said[key]))
    if known[-1].endswith(SOMEWHERE) and not effect.inside:
        container = (*known[:-1], known[-1].removesuffix(SOMEWHERE))
        return replace(effect, resource=container, inside=True, keyed=True)
    return replace(effect, resource=known)


def _lock(lock: Resource, said: dict[Text, Any]) -> Resource:
    if any(said[key] in (_NOTHING, _ANOTHER) for key in keys_in(lock)):
        return family(with_keys(lock, lambda _: ""))
    return with_keys(lock, lambda key: repr(said[key]))


def _said(key: Text, task: PlanTask, reading: Reading, item: Any) -> Any:
    """Return what *key* is for the instance of *item*; ``_NOTHING`` where that is not known."""
    assert key.parameter is not None
    name, *steps = key.parameter
    if name == NEW:
        return _ANOTHER
    given = argument(task, name, reading)
    of_item = any("item" in found.roots for _, found in templates.templates(given))
    if item is _NOTHING and of_item:
        return _ANOTHER
    try:
        value = templates.fill(given, {"item": item})
    except TemplateError:  # it looks at what only a run knows
        return given if key.whole_value else _NOTHING
    for step in steps:
        if isinstance(value, dict) and step in value:
            value = value[step]
        elif isinstance(value, list) and step.isdigit() and int(step) < len(value):
            value = value[int(step)]
        else:
            return _NOTHING
    if value is _NOTHING or key.whole_value:
        return value
    if not isinstance(value, str | int | float):
        return _NOTHING
    return f"{key.before}{templates.as_text(value)}{key.after}".replace(HOLE, "…")


def argument(task: PlanTask, name: str, reading: Reading) -> Any:
    """Return what *task* gives for parameter *name*; ``_NOTHING`` where that is not known."""
    if isinstance(task.kwargs, dict) and name in task.kwargs:
        return task.kwargs[name]
    if not isinstance(task.args, list | tuple):
        return _NOTHING
    first = int(task.consume is not None)
    if name in reading.parameters:
        index = reading.parameters.index(name) - first
        if 0 <= index < len(task.args):
            return task.args[index]
        if index < 0:
            return _NOTHING
    return dict(reading.defaults).get(name, _NOTHING)


def passed(task: PlanTask, reading: Reading) -> frozenset[str]:
    """Return the parameters that *task* gives a value to."""
    names = set(task.kwargs) if isinstance(task.kwargs, dict) else set()
    if isinstance(task.args, list | tuple):
        names |= set(reading.parameters[: len(task.args) + (task.consume is not None)])
    return frozenset(names)


def family(lock: Resource) -> Resource:
    """Return *lock* with each key in its name taken for any other."""
    return (*lock[:-1], _STEP.sub(SOMEWHERE, lock[-1]))


def guarded(one: Effect, other: Effect) -> bool:
    """Tell whether a lock is held at both.

    One out of many, by a key that nobody knows, is the same at both where that key also leads to
    what is touched: who locks an element does not lock what all elements share.
    """
    if _ordered(one, other) or _ordered(other, one):
        return True
    common = one.under & other.under
    if any(SOMEWHERE not in lock[-1] for lock in common):
        return True
    if one.resource == other.resource and not (_by_key(one) and _by_key(other)):
        return False
    ours, theirs = ({family(lock): lock for lock in e.under} for e in (one, other))
    return any(
        SOMEWHERE in ours[name][-1] or SOMEWHERE in theirs[name][-1]
        for name in ours.keys() & theirs.keys()
        if SOMEWHERE in name[-1]
    )


def _ordered(one: Effect, other: Effect) -> bool:
    """Tell whether *one* is before an event is set that *other* has waited for."""
    return any(lock[0] == "before" and ("after", *lock[1:]) in other.locks for lock in one.locks)


def _by_key(effect: Effect) -> bool:
    return effect.keyed or SOMEWHERE in effect.resource[-1]
