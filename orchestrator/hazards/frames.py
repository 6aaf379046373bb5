# ruff: noqa: SIM905 - a list of words reads better as words
"""One function being read: its names, the locks held, what it has touched so far."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field, replace

from orchestrator.hazards import tables
from orchestrator.hazards.values import Function, Object, Text, Value, deeper

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Literal

    from orchestrator.hazards.reader import Reader
    from orchestrator.hazards.sources import Module
    from orchestrator.hazards.values import Resource

    Kind = Literal["read", "write", "update"]
    Look = tuple[str, int]  # file, line
    Looks = frozenset[tuple["Spot", frozenset[Resource], Look]]

# What a value was made from: each resource with the locks under which it was read. A lock that is
# let go and taken again is another: what was read before may be stale.
# The flag tells whether it was what the object holds that was read, and not which object it is.
Spot = tuple[tuple[str, ...], bool]
Taint = dict[Spot, frozenset[tuple[tuple[str, ...], int]]]
Bindings = tuple[tuple[str, Value], ...]
# What takes something away, and says so where there is nothing.
_REMOVES = frozenset("pop popleft popitem remove deleted get get_nowait put_nowait".split())
# What the caller has made the arguments from.
GIVEN: Spot = (("given",), False)


@dataclass(frozen=True)
class Effect:
    """That a function touches something which other threads may touch as well.

    *kind* ``update`` is a read with a write that depends on it. *calls* are the functions through
    which it was reached, *locks* those that are held there. *atomic*: a single step that leaves
    the object whole, and that does not depend on what is in it. *accepted*: the line says that
    sharing is meant. *how* says in one word what the code does. *inside*: what the object holds is
    touched, and not which object it is. *keyed*: by a key that nobody knows.
    *given*: what is written was made from an argument, or an argument has decided about it.
    *looked* is where an update has looked before, if elsewhere.
    """

    resource: Resource
    kind: Kind
    file: str
    line: int
    calls: tuple[str, ...] = ()
    locks: frozenset[Resource] = frozenset()
    accepted: bool = False
    atomic: bool = False
    how: str = ""
    inside: bool = False
    keyed: bool = False
    given: bool = False
    looked: Look | None = None

    @property
    def under(self) -> frozenset[Resource]:
        """The locks among *locks*: events that are set after it, or waited for before, are none."""
        return frozenset(lock for lock in self.locks if lock[0] not in ("before", "after"))


@dataclass(frozen=True)
class Call:
    """A call of a function of the job's own, with what its parameters are bound to.

    *guards* is what was looked at to decide about the call, *given* what the arguments were made
    from, each with the locks held ever since, and where that was.
    """

    function: Function
    bindings: Bindings
    locks: frozenset[Resource]
    guards: Looks = frozenset()
    given: Looks = frozenset()


@dataclass
class Summary:
    """What one function does by itself, and whom it calls.

    *given* are the shared objects that it returns or yields, *decides* what that depends on;
    *yields_under* are the locks held where it yields, *leaves* those still held at its end,
    *frees* those of its callers that it lets go, *sets* the events that it sets.
    """

    effects: list[Effect] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    returned: Value | None = None
    given: list[Effect] = field(default_factory=list)
    decides: set[Spot] = field(default_factory=set)
    yields_under: frozenset[Resource] = frozenset()
    leaves: frozenset[Resource] = frozenset()
    frees: frozenset[Resource] = frozenset()
    sets: frozenset[Resource] = frozenset()


@dataclass
class State:
    """What one way through a function has come to: the locks held, and what names stand for."""

    held: dict[Resource, int]
    values: dict[str, Value | None]
    taints: dict[str, Taint]


@dataclass
class Given:
    """The arguments of a call, read; *taint* is what they were made from.

    *key* is the first as a key in the name of a resource; None where it is not known.
    """

    node: ast.Call
    positional: list[Value | None] = field(default_factory=list)
    keywords: dict[str, Value | None] = field(default_factory=dict)
    taint: Taint = field(default_factory=dict)
    key: str | None = None

    def at(self, index: int, name: str = "") -> Value | None:
        """Return the argument at *index*, or the one called *name*."""
        if index < len(self.positional):
            return self.positional[index]
        return self.keywords.get(name)

    def may_be_true(self, index: int, name: str) -> bool:
        """Tell whether the argument at *index*, or the one called *name*, may be true."""
        found = self._written(index, name)
        return any(not isinstance(value, ast.Constant) or bool(value.value) for value in found)

    def may_be_false(self, index: int, name: str) -> bool:
        """Tell whether the argument at *index*, or the one called *name*, may be false."""
        found = self._written(index, name)
        return any(not isinstance(value, ast.Constant) or not value.value for value in found)

    def has(self, index: int, name: str) -> bool:
        """Tell whether there may be an argument at *index*, or one called *name*."""
        return bool(self._written(index, name))

    def _written(self, index: int, name: str) -> list[ast.expr]:
        """Return what is written for an argument, and whatever may hold it."""
        found = [keyword.value for keyword in self.node.keywords if keyword.arg in (name, None)]
        found += [argument for argument in self.node.args if isinstance(argument, ast.Starred)]
        return found + self.node.args[index : index + 1]


class Frame:
    """The state while one function is read, and the record of what it touches."""

    def __init__(self, reader: Reader, module: Module, function: Function | None) -> None:
        self.reader, self.module, self.function = reader, module, function
        self.name = function.path if function else ""
        self.closure = dict(function.closure) if function else {}
        self.local: set[str] = set()
        self.globals: set[str] = set()
        self.nonlocals: set[str] = set()
        self.values: dict[str, Value | None] = {}
        self.taints: dict[str, Taint] = {}
        self.held: dict[Resource, int] = {}
        self.seen: Taint = {}
        self.looked: dict[Spot, int] = {}  # in which line
        self.guards: list[Taint] = []
        self.done = Summary()
        self.lines: range = range(0)
        self.literal = ""  # that the statement assigns
        self.assigned: dict[Resource, str] = {}  # what was set to which literal before
        self.loops = 0  # around the statement that is read
        self.lenient = False  # it is caught where there is nothing to take
        self.pieces: set[ast.AST] = set()  # calls that write what belongs to what was written
        self.unused: ast.AST | None = None  # the call whose result nobody looks at
        self._holds = 0

    def record(
        self,
        node: ast.AST,
        resource: Resource,
        kind: Kind,
        how: str,
        *,
        atomic: bool = False,
        inside: bool = False,
        keyed: bool = False,
    ) -> None:
        """Record that *node* touches *resource*."""
        found = self.effect(node, resource, kind, how, atomic=atomic, inside=inside, keyed=keyed)
        self.done.effects.append(found)

    def effect(
        self,
        node: ast.AST,
        resource: Resource,
        kind: Kind,
        how: str,
        *,
        atomic: bool = False,
        inside: bool = False,
        keyed: bool = False,
    ) -> Effect:
        """Return the effect that *node* touches *resource*."""
        line = getattr(node, "lineno", 0)
        shared = self.module.accepted
        accepted = bool(shared) and any(number in shared for number in (line, *self.lines))
        held = frozenset(self.held)
        return Effect(
            resource, kind, self.module.file, line, (), held, accepted, atomic, how, inside, keyed
        )  # fmt: skip

    def read(self, node: ast.AST, resource: Resource, how: str = "read") -> None:
        """Record that a name or slot is read. What is computed from now on depends on it."""
        self.record(node, resource, "read", self.assigned.get(resource, how), atomic=True)
        self.note((resource, False), node)

    def look(
        self,
        node: ast.AST,
        resource: Resource,
        how: str = "iterated",
        *,
        one: bool,
        keyed: bool = False,
    ) -> None:
        """Record a look at what an object holds; with *one*, in a single step."""
        self.record(node, resource, "read", how, atomic=one, inside=True, keyed=keyed)
        self.note((resource, True), node)

    def note(self, spot: Spot, node: ast.AST) -> None:
        """Note that what is computed from now on depends on *spot*, which *node* has looked at."""
        self.seen[spot] = frozenset(self.held.items())
        self.looked[spot] = getattr(node, "lineno", 0)

    def write(
        self,
        node: ast.AST,
        spot: Spot,
        how: str,
        taint: Taint,
        *,
        one: bool,
        keyed: bool = False,
    ) -> None:
        """Record a write of what was made from *taint*.

        It is an update where that, or a condition that it stands under, has looked at *spot*.
        """
        resource, inside = spot
        self.assigned.pop(resource, None)
        if self.literal and how == "set":
            how = self.assigned[resource] = f"set {self.literal}"
        source, found = taint.get(spot), "computed"
        for guard in () if self.lenient and how in _REMOVES else self.guards:
            if spot in guard:
                source, found = guard[spot], "checked"
        if source is None:
            wrote = self.effect(
                node, resource, "write", how, atomic=one, inside=inside, keyed=keyed
            )
            given = GIVEN in taint or any(GIVEN in guard for guard in self.guards)
            self.done.effects.append(replace(wrote, given=given))
            return
        update = self.effect(node, resource, "update", found, inside=inside, keyed=keyed)
        looked = self.looked.get(spot, update.line)
        place = (update.file, looked) if looked != update.line else None
        self.done.effects.append(replace(update, locks=self.still(source), looked=place))

    def still(self, source: frozenset[tuple[Resource, int]]) -> frozenset[Resource]:
        """Return which of the locks of *source* have been held ever since."""
        return frozenset(lock for lock, hold in source if self.held.get(lock) == hold)

    def looks(self, taint: Taint) -> Looks:
        """Return what *taint* has looked at, each with the locks held ever since, and where."""
        file, looked = self.module.file, self.looked
        return frozenset(
            (spot, self.still(source), (file, looked.get(spot, 0)))
            for spot, source in taint.items()
        )

    def hold(self, lock: Resource) -> None:
        """Take *lock*; one that is held already is held on."""
        if lock not in self.held:
            self._holds += 1
            self.held[lock] = self._holds

    def bind(self, name: str, value: Value | None, taint: Taint) -> None:
        """Bind a local name."""
        self.values[name] = value
        self.taints[name] = dict(taint)

    def state(self) -> State:
        """Return what the way so far has come to."""
        return State(dict(self.held), dict(self.values), dict(self.taints))

    def go_on(self, ways: list[State]) -> None:
        """Go on from where *ways* meet, with what is so on each; with none, from where it is."""
        if not ways:
            return
        first = ways[0]
        self.held, self.values, self.taints = (
            dict(first.held),
            dict(first.values),
            dict(first.taints),
        )
        for way in ways[1:]:
            held = {lock: hold for lock, hold in self.held.items() if lock in way.held}
            for lock, hold in held.items():
                if way.held[lock] != hold:  # taken on each way by itself
                    self._holds += 1
                    held[lock] = self._holds
            self.held = held
            for name, value in way.values.items():
                self.values[name] = (
                    either(self.values[name], value) if name in self.values else value
                )
            for name, taint in way.taints.items():
                known = self.taints.get(name, {})
                both = {spot: known[spot] & taint[spot] for spot in known.keys() & taint.keys()}
                self.taints[name] = {**known, **taint, **both}

    def kept(self, name: str) -> Resource | None:
        """Return what *name* of a function around this one is, where that outlives the call."""
        holder = self.function.holder if self.function else None
        if holder is None or name not in self.closure:
            return None
        return deeper(holder, f".{name}")

    def around(self, node: ast.AST, but: str = "") -> tuple[tuple[str, Value | None], ...]:
        """Return those of the local names that *node*, something defined inside, mentions."""
        names = {**self.closure, **dict.fromkeys(self.local), **self.values}
        used = self.reader.mentioned(node) - {but}
        return tuple((name, value) for name, value in names.items() if name in used)


def locals_of(node: ast.AST) -> Iterator[tuple[str, str]]:  # noqa: C901 - a case for each binding
    """Yield the names that a function binds, each with ``local``, ``global`` or ``nonlocal``."""
    body = node.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) else []
    stack: list[ast.AST] = list(body)
    while stack:
        part = stack.pop()
        match part:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name, "local"
                continue
            case ast.ClassDef(name=name):
                yield name, "local"
                continue
            case ast.Lambda():
                continue
            case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
                inside = [p.target for p in ast.walk(part) if isinstance(p, ast.NamedExpr)]
                stack.extend(inside)  # all else that it binds is its own
                continue
            case ast.Global(names=names):
                yield from ((name, "global") for name in names)
            case ast.Nonlocal(names=names):
                yield from ((name, "nonlocal") for name in names)
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
                yield name, "local"
            case ast.ExceptHandler(name=str() as name) | ast.MatchMapping(rest=str() as name):
                yield name, "local"
            case ast.MatchAs(name=str() as name) | ast.MatchStar(name=str() as name):
                yield name, "local"
            case ast.Import() | ast.ImportFrom():
                for alias in part.names:
                    yield alias.asname or alias.name.partition(".")[0], "local"
        stack.extend(ast.iter_child_nodes(part))


def either(one: Value | None, other: Value | None) -> Value | None:
    """Return what something stands for that is *one* or *other*: of texts, nobody knows which."""
    if one == other:
        return one
    if any(isinstance(v, Object) and v.made_by in tables.LOCKS for v in (one, other)):
        return None if one is not None and other is not None else one or other
    for value in (one, other):
        if isinstance(value, Object) and value.resource is not None:
            return value
    if isinstance(one, Text) or isinstance(other, Text):
        return None
    return other if one is None else one


def is_fresh(value: Value | None) -> bool:
    """Tell whether *value* says nothing that a function called with it could use."""
    return value is None or (
        isinstance(value, Object) and value.resource is None and not isinstance(value.made_by, str)
        and value.made_by is None
    )  # fmt: skip
