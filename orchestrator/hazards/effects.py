"""What a function touches that other threads may touch as well, by itself and by its calls."""

from __future__ import annotations

import ast
from collections import deque
from dataclasses import dataclass, replace

from orchestrator.hazards.frames import GIVEN
from orchestrator.hazards.frames import Effect as Effect  # noqa: PLC0414 - it is this module's word
from orchestrator.hazards.reader import Reader
from orchestrator.hazards.tables import PROGRAMS
from orchestrator.hazards.values import Class, Function, Object, Outside, Own

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from orchestrator.hazards.frames import Bindings, Looks, Summary
    from orchestrator.hazards.values import Resource, Value

MAX_VISITS = 4000
# How often one call is followed for different checks that stand before it.
MAX_VARIANTS = 3


@dataclass(frozen=True)
class Reading:
    """What was found about one function that a job file names.

    *parameters* are those that positional arguments go to, *defaults* the literals that others have
    as defaults; *file* and *line* say where it stands.
    """

    effects: tuple[Effect, ...] = ()
    parameters: tuple[str, ...] = ()
    defaults: tuple[tuple[str, Any], ...] = ()
    file: str = ""
    line: int = 0


def effects_of(reference: str, root: str) -> tuple[Effect, ...]:
    """Return what ``pkg.mod:name`` touches; nothing where it cannot be read. Never raises."""
    return reading_of(reference, Reader(root)).effects


def reading_of(reference: str, reader: Reader) -> Reading:
    """Return what is known of ``pkg.mod:name`` or ``pkg.mod:Class.method``. Never raises."""
    try:
        function = _named(reference, reader)
        if function is None:
            if _is_own(reference, reader):
                reader.fail(reference)
            return Reading()
        reader.allow()
        target = reader.decorated(function)
        bindings = reader.bindings(target, [], {}, for_task=True)
        effects = tuple(dict.fromkeys(_walk(target, bindings, reader)))
        return _told(function, effects, reader)
    except Exception:  # noqa: BLE001 - advice must not break the run that asks for it
        reader.fail(reference)
        return Reading()


def starters(references: Iterable[str], root: str) -> set[str]:
    """Return those of *references* that start other programs, as far as can be read."""
    reader = Reader(root)
    return {
        reference
        for reference in references
        if any(effect.resource == PROGRAMS for effect in reading_of(reference, reader).effects)
    }


def _told(function: Function, effects: tuple[Effect, ...], reader: Reader) -> Reading:
    spec = function.node.args
    names = [argument.arg for argument in spec.posonlyargs + spec.args]
    defaults = zip(names[len(names) - len(spec.defaults) :], spec.defaults, strict=True)
    literals = [(name, node.value) for name, node in defaults if isinstance(node, ast.Constant)]
    for argument, default in zip(spec.kwonlyargs, spec.kw_defaults, strict=True):
        if isinstance(default, ast.Constant):
            literals.append((argument.arg, default.value))
    source = reader.sources.module(function.module)
    return Reading(
        effects,
        tuple(names[function.receiver is not None :]),
        tuple(literals),
        source.file if source else "",
        function.node.lineno,
    )


def _named(reference: str, reader: Reader) -> Function | None:
    """Return the function that *reference* names, bound to what it is found on."""
    module, _, path = reference.partition(":")
    if reader.sources.module(module) is None:
        return None
    found: Value | None = Own(module)
    for name in path.split("."):
        match found:
            case Own():
                found = reader.member(found.name, name)
            case Class():
                found = reader.class_member(found, name, found)
            case Object(made_by=Class() as kind):
                method = reader.method(kind, name)
                found = reader.bound(method, found) if method else None
            case _:
                return None
    if isinstance(found, Object) and isinstance(found.made_by, Class):
        method = reader.method(found.made_by, "__call__")
        return reader.bound(method, found) if method else None
    if isinstance(found, Class):
        method = reader.method(found, "__init__")
        return replace(method, receiver=Object(found)) if method else None
    return found if isinstance(found, Function) else None


def _is_own(reference: str, reader: Reader) -> bool:
    """Tell whether *reference* leads into the job's own code, or nowhere in it."""
    module, _, path = reference.partition(":")
    first = path.partition(".")[0]
    own = reader.sources.module(module) is not None
    return own and not isinstance(reader.member(module, first), Outside)


def _walk(function: Function, bindings: Bindings, reader: Reader) -> Iterator[Effect]:
    """Yield the effects of *function* and of all that it calls, the shortest way first."""
    nothing: frozenset[Any] = frozenset()
    first: tuple[Function, Bindings, frozenset[Resource], Looks, Looks]
    first = (function, bindings, nothing, nothing, nothing)
    seen = {first}
    path: tuple[str, ...] = ()
    queue = deque([(first, path)])
    variants: dict[tuple[Function, Bindings, frozenset[Resource]], int] = {}
    while queue and len(seen) < MAX_VISITS:
        (function, bindings, locks, guards, given), path = queue.popleft()
        summary = reader.summary(function, bindings)
        for effect in _effects(summary, path):
            yield _in_place(effect, path, locks, guards, given)
        for call in summary.calls:
            checks = guards | _seen_inside(call.guards, locks, given)
            made_from = _seen_inside(call.given, locks, given)
            state = (call.function, call.bindings, locks | call.locks, checks, made_from)
            plain = state[:3]
            if state not in seen and variants.get(plain, 0) < MAX_VARIANTS:
                variants[plain] = variants.get(plain, 0) + 1
                seen.add(state)
                queue.append((state, (*path, call.function.path)))
    if queue:
        reader.fail(f"{first[0].module}:{first[0].path}")


def _effects(summary: Summary, path: tuple[str, ...]) -> list[Effect]:
    # what the task's own function returns is looked through by orch
    return summary.effects if path else summary.effects + summary.given


def _seen_inside(looks: Looks, locks: frozenset[Resource], given: Looks) -> Looks:
    """Return *looks* of a function as its callers know them, who held *locks* all the time."""
    found = frozenset((spot, held | locks, at) for spot, held, at in looks if spot != GIVEN)
    return found | given if any(spot == GIVEN for spot, *_ in looks) else found


def _in_place(
    effect: Effect,
    path: tuple[str, ...],
    locks: frozenset[Resource],
    guards: Looks,
    given: Looks,
) -> Effect:
    """Return *effect* as it is where it was reached: under the locks and checks of the callers."""
    if effect.kind == "write":
        for how, looks in (("checked", guards), ("computed", given if effect.given else ())):
            for spot, held, at in sorted(looks, key=lambda look: look[2]):
                if spot == (effect.resource, effect.inside):
                    update = replace(effect, kind="update", how=how, atomic=False, looked=at)
                    return replace(update, calls=path, locks=held)
    return replace(effect, calls=path, locks=effect.locks | locks) if path else effect
