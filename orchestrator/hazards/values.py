"""What an expression of the user's code stands for, as far as its text tells."""

from __future__ import annotations

import ast
from dataclasses import dataclass, replace

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
# What is touched: ("global", module, name), ("process", "cwd"), ("file", path), …
Resource = tuple[str, ...]


@dataclass(frozen=True)
class Outside:
    """A name of Python's own or of an installed package, dotted: ``os.environ``."""

    dotted: str


@dataclass(frozen=True)
class Own:
    """A module of the job's own."""

    name: str


@dataclass(frozen=True)
class Class:
    """A class of the job's own."""

    module: str
    path: str
    node: ast.ClassDef


@dataclass(frozen=True)
class Function:
    """A function of the job's own.

    *receiver* is what its first parameter is bound to, *closure* the local names around it. Where
    it outlives the call that made it, *holder* is what keeps it.
    """

    module: str
    path: str
    node: Definition
    receiver: Value | None = None
    closure: tuple[tuple[str, Value | None], ...] = ()
    holder: Resource | None = None
    bare: bool = False  # without its decorators
    ahead: tuple[Value | None, ...] = ()  # what ``functools.partial`` gives it


@dataclass(frozen=True)
class Object:
    """An object; *resource* is None where only this call has it.

    *made_by* is its class, or the dotted name of what was called. An *element* is something inside
    of what *resource* names, nobody knows where. *fields* are the values of attributes that its
    constructor was given, or the functions in a mapping or list.
    """

    made_by: str | Class | None = None
    resource: Resource | None = None
    element: bool = False
    fields: tuple[tuple[str, Value], ...] = ()


@dataclass(frozen=True)
class Text:
    """A text or path: what is known of it, around the value of at most one parameter."""

    before: str
    parameter: str | None = None
    after: str = ""

    def plus(self, other: Text) -> Text | None:
        """Return both joined; None where that would hold two parameters."""
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


Value = Outside | Own | Class | Function | Object | Text


def deeper(resource: Resource, step: str) -> Resource:
    """Return what *step* leads to from *resource*: ``.name`` or ``['key']``."""
    return (*resource[:-1], resource[-1] + step)


def kept_by(value: Value | None, resource: Resource) -> Value:
    """Return *value* as it is once *resource* holds it, and not one call alone."""
    if isinstance(value, Object):
        return value if value.resource is not None else replace(value, resource=resource)
    if isinstance(value, Function) and value.closure and value.holder is None:
        return replace(value, holder=resource)
    return Object(None, resource) if value is None else value
