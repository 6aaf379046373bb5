"""What an expression of the user's code stands for, as far as its text tells."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
# What is touched: ("global", module, name), ("process", "cwd"), ("file", path), …, also a file that
# a task will name: ("parameter", before, after, name, key, …), or open as it will say: ("mode",
# name, "file", path). A key that a task will say stands in it between two marks.
Resource = tuple[str, ...]
MAX_STEPS = 12  # from what has a name of its own to what is touched
MAX_PARTS = 8  # of what a container holds are followed
MAX_TEXT = 500
NEW = "<new>"  # a parameter that is another in each call
HOLE = "\x00"  # a part of a text that nobody knows
_MARK, _GAP = "\x01", "\x02"
_KEY = re.compile(f"{_MARK}([^{_MARK}]*){_MARK}")
# Something that a container holds, nobody knows where.
SOMEWHERE = "[…]"


class Nested:
    """A value that may hold others, and they others still: hashed once, compared once.

    Two that are found equal share their parts from then on: without both, the work would double
    with each level.
    """

    def __post_init__(self) -> None:
        parts: dict[str, Any] = vars(self)
        parts["hashed"] = hash(tuple(parts.values()))

    def __hash__(self) -> int:
        found: int = vars(self)["hashed"]
        return found

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if type(other) is not type(self) or hash(self) != hash(other) or vars(self) != vars(other):
            return False
        vars(other).update(vars(self))
        return True


@dataclass(frozen=True)
class Outside:
    """A name of Python's own or of an installed package, dotted: ``os.environ``."""

    dotted: str


@dataclass(frozen=True)
class Own:
    """A module of the job's own."""

    name: str


@dataclass(frozen=True, eq=False)
class Class(Nested):
    """A class of the job's own; *inner*: each call of the function around it makes another."""

    module: str
    path: str
    node: ast.ClassDef
    closure: tuple[tuple[str, Value | None], ...] = ()
    inner: bool = False


@dataclass(frozen=True, eq=False)
class Function(Nested):
    """A function of the job's own.

    *receiver* is what its first parameter is bound to, *closure* the local names around it that it
    uses. *inner*: each call of the function around it makes another. Where such a one outlives the
    call, *holder* is what keeps it.
    """

    module: str
    path: str
    node: Definition
    receiver: Value | None = None
    closure: tuple[tuple[str, Value | None], ...] = ()
    holder: Resource | None = None
    bare: bool = False  # without its decorators
    ahead: tuple[Value | None, ...] = ()  # what ``functools.partial`` gives it
    inner: bool = False

    @property
    def resource(self) -> Resource | None:
        """What its attributes and defaults belong to; None where only one call has them."""
        return self.holder if self.inner else ("attribute", self.module, self.path)


@dataclass(frozen=True, eq=False)
class Object(Nested):
    """An object; *resource* is None where only this call has it.

    *made_by* is its class, or the dotted name of what was called. An *element* is something inside
    of what *resource* names, nobody knows where. *fields* are the values of attributes that its
    constructor was given, by name; of a container what it is known to hold, by ``[key]`` or, where
    the key is not known, by nothing. An element has those of its container.
    """

    made_by: str | Class | None = None
    resource: Resource | None = None
    element: bool = False
    fields: tuple[tuple[str, Value], ...] = ()

    def parts(self, key: str | None = None) -> list[Value]:
        """Return what it is known to hold at *key*, or anywhere where that says nothing."""
        if isinstance(self.made_by, Class):
            return []
        exact = [value for name, value in self.fields if key is not None and name == f"[{key}]"]
        every = [v for name, v in self.fields if name[:1] in ("", "[") and not isinstance(v, Text)]
        return list(dict.fromkeys(exact or every))[:MAX_PARTS]


@dataclass(frozen=True)
class Text:
    """A text, path or key: what is known of it, around the value of at most one parameter.

    *parameter* is the name of that, and the keys that lead into what it is given. Without a text
    around it, the value may be of any type.
    """

    before: str
    parameter: tuple[str, ...] | None = None
    after: str = ""

    @property
    def whole(self) -> bool:
        """Whether no part of it is unknown."""
        return not any(mark in self.before + self.after for mark in (HOLE, _MARK, _GAP))

    @property
    def whole_value(self) -> bool:
        """Whether it is what a parameter is given, of whatever type."""
        return self.parameter is not None and not (self.before or self.after)

    def plus(self, other: Text) -> Text | None:
        """Return both joined; None where that would hold two parameters, or be very long."""
        if sum(map(len, (self.before, self.after, other.before, other.after))) > MAX_TEXT:
            return None
        if self.parameter is None:
            return replace(other, before=self.before + other.before)
        if other.parameter is None:
            return replace(self, after=self.after + other.before)
        return None

    def below(self, other: Text) -> Text | None:
        """Return the path *other* in the folder that this is."""
        if other.parameter is None and other.before.startswith("/"):
            return other
        ends = self.after if self.parameter is not None else self.before
        gap = "" if ends.endswith("/") or self == Text("") else "/"
        joined = self.plus(Text(gap))
        return None if joined is None else joined.plus(other)

    def at(self, key: object) -> Text | None:
        """Return what the value of the parameter, a mapping or list, holds at *key*."""
        if self.parameter is None or not self.whole_value or not isinstance(key, str | int):
            return None
        if len(self.parameter) >= MAX_PARTS:
            return None  # a recursion would be followed without end
        return Text("", (*self.parameter, str(key)))

    def key(self) -> str | None:
        """Return it as a key in the name of a resource; None where it is not known."""
        if self.parameter is None:
            return repr(self.before) if self.whole else None
        if any(mark in self.before + self.after for mark in (_MARK, _GAP)):
            return None
        return f"{_MARK}{_GAP.join((self.before, self.after, *self.parameter))}{_MARK}"


Value = Outside | Own | Class | Function | Object | Text


def deeper(resource: Resource, step: str) -> Resource:
    """Return what *step* leads to from *resource*: ``.name`` or ``['key']``.

    What lies very deep counts as what holds it: a list of nodes would be followed without end.
    """
    if resource[-1].count(".") + resource[-1].count("[") >= MAX_STEPS:
        return resource
    return (*resource[:-1], resource[-1] + step)


def placed(value: Value, resource: Resource | None) -> Value:
    """Return *value* as it is where a container has it at *resource*."""
    if resource is not None and isinstance(value, Object) and value.resource is None:
        return replace(value, resource=resource)
    return value


def keyed(resource: Resource) -> bool:
    """Tell whether *resource* is named by a key that a task will say."""
    return _MARK in resource[-1]


def with_keys(resource: Resource, said: Callable[[Text], str]) -> Resource:
    """Return *resource* with what *said* answers in the place of keys that a task will say."""
    return (*resource[:-1], _KEY.sub(lambda found: said(_text(found)), resource[-1]))


def _text(found: re.Match[str]) -> Text:
    before, after, *parameter = found[1].split(_GAP)
    return Text(before, tuple(parameter), after)


def keys_in(resource: Resource) -> list[Text]:
    """Return the keys in the name of *resource* that a task will say."""
    return [_text(found) for found in _KEY.finditer(resource[-1])]


def kept_by(value: Value | None, resource: Resource) -> Value:
    """Return *value* as it is once *resource* holds it, and not one call alone."""
    if isinstance(value, Object):
        return value if value.resource is not None else replace(value, resource=resource)
    if isinstance(value, Function) and value.inner and value.holder is None:
        return replace(value, holder=resource)
    return Object(None, resource) if value is None else value
