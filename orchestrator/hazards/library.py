"""Reading calls of what is not the job's own, and stores to what outlives a call."""

from __future__ import annotations

import ast
import os
from dataclasses import dataclass, field, replace

from orchestrator.hazards import tables
from orchestrator.hazards.expressions import Expressions, joined_path
from orchestrator.hazards.items import key_of
from orchestrator.hazards.values import (
    SOMEWHERE,
    Class,
    Function,
    Object,
    Outside,
    Text,
    deeper,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from orchestrator.hazards.frames import Kind, Taint
    from orchestrator.hazards.values import Resource, Value

_LATER = frozenset({"submit", "apply_async", "run_in_executor", "to_thread"})
_AS_IT_IS = frozenset(
    {"isinstance", "issubclass", "id", "callable", "hasattr", "type", "super", "bool"}
)
_ABSOLUTE = ("/", "~")


@dataclass
class Given:
    """The arguments of a call, read; *taint* is what they were made from."""

    node: ast.Call
    positional: list[Value | None] = field(default_factory=list)
    keywords: dict[str, Value | None] = field(default_factory=dict)
    taint: Taint = field(default_factory=dict)

    def at(self, index: int, name: str = "") -> Value | None:
        """Return the argument at *index*, or the one called *name*."""
        if index < len(self.positional):
            return self.positional[index]
        return self.keywords.get(name)

    @property
    def key(self) -> str | None:
        """The first argument as a key in the name of a resource; None where it is not known."""
        return key_of(self.node.args[0], self.at(0)) if self.node.args else None

    def may_be_true(self, index: int, name: str) -> bool:
        """Tell whether the argument at *index*, or the one called *name*, may be true."""
        node = self.node
        found = [keyword.value for keyword in node.keywords if keyword.arg in (name, None)]
        if any(isinstance(argument, ast.Starred) for argument in node.args):
            return True
        found += node.args[index : index + 1]
        return any(not isinstance(value, ast.Constant) or bool(value.value) for value in found)


class Library(Expressions):
    """Knows what calls touch that are not followed."""

    def unknown(self, given: Given, name: str) -> None:
        """Take it that a call which is not followed looks through what it is given."""
        for index, value in enumerate(given.positional):
            if isinstance(value, Function):
                rest = given.positional[index + 1 :] if name in _LATER else []
                keywords = given.keywords if name in _LATER else {}
                self.invoke(value, rest, keywords, given.node, value.receiver)
            else:
                self.escape(value, given.node)
        for value in given.keywords.values():
            if isinstance(value, Function):
                self.invoke(value, [], {}, given.node, value.receiver)
            else:
                self.escape(value, given.node)

    def file(self, path: Value | None, mode: str, node: ast.AST, chosen: str | None = None) -> None:
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
        self.record(node, resource, kind, "opened")
        if kind == "write":
            self.record(node, tables.UMASK, "read", "created")

    def outside(self, dotted: str, given: Given) -> Value | None:
        """Record what a call of *dotted*, which is not the job's own, touches."""
        node = given.node
        for resource, kind in tables.touched_by(dotted):
            self.touch(resource, kind, node, dotted)
        if dotted in tables.STARTERS:
            self._starts(given)
        if dotted in tables.OPENERS:
            return self._opens(dotted, given)
        if dotted == "os.makedirs" and not given.may_be_true(2, "exist_ok"):
            self.file(given.at(0), "w", node)
        for index, mode in enumerate(tables.MOVERS.get(dotted, ())):
            self.file(given.at(index), mode, node)
        if dotted in ("fcntl.flock", "msvcrt.locking"):
            if "LOCK_UN" not in ast.unparse(node):
                self.hold(("process", "file lock"))
            return None
        if dotted == "os.getenv":
            self.item(Object("dict", tables.ENVIRON), given.key, node)
            return None
        name = dotted.rpartition(".")[2]
        if dotted.startswith("builtins."):
            return self._builtin(name, given)
        return self._made(dotted, name, given)

    def _opens(self, dotted: str, given: Given) -> Value | None:
        position, mode_at, mode = tables.OPENERS[dotted]
        chosen = None if mode_at is None else given.at(mode_at, "mode")
        if dotted == "os.open":
            mode = _mode_of_flags(given.node.args[1:2])
            if not mode:
                return None
        self.open(given.at(position, "file"), mode, chosen, given.node)
        return Object("builtins.open" if "open" in dotted else dotted)

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
            self.seen[resource, False] = frozenset(self.held.items())
        elif kind == "write":
            self.record(node, resource, "write", dotted)
        else:
            self.record(node, resource, "update", dotted)

    def _starts(self, given: Given) -> None:
        if "env" not in given.keywords:
            self.record(given.node, tables.ENVIRON, "read", "inherited", inside=True)
        if "cwd" not in given.keywords:
            self.record(given.node, tables.CWD, "read", "inherited")

    def _made(  # noqa: C901 - a case for each sort of call
        self, dotted: str, name: str, given: Given
    ) -> Value | None:
        """Return what a call of an outside name other than a builtin gives."""
        node = given.node
        first = given.at(0)
        if dotted in tables.PATHS:
            return joined_path(given.positional)
        if dotted in tables.FILE_LOCKS:
            return Object(dotted, _lock_file(first))
        if dotted == "logging.getLogger" and node.args and _is_of_one_call(first):
            return Object("logging.Logger")
        if dotted in tables.CHANGERS:
            if isinstance(first, Object) and first.resource is not None:
                self.record(node, first.resource, "update", "changed", inside=True)
            return None
        if dotted in tables.CONTAINERS:
            self.unknown(given, name)
            return Object(tables.CONTAINERS[dotted])
        if name.endswith("Semaphore") and dotted in tables.LOCKS:
            count = node.args[0] if node.args else None
            single = count is None or getattr(count, "value", 0) == 1
            return Object(dotted if single else "threading.local")
        if isinstance(first, Function) and dotted in tables.TRANSPARENT:
            return first
        if isinstance(first, Function) and dotted == "functools.partial":
            return replace(first, ahead=(*first.ahead, *given.positional[1:]))
        if dotted in ("copy.copy", "copy.deepcopy"):
            self.escape(first, node)
            return Object(first.made_by) if isinstance(first, Object) else None
        self.unknown(given, name)
        return Object(dotted)

    def _builtin(  # noqa: C901 - a case for each function
        self, name: str, given: Given
    ) -> Value | None:
        node, first = given.node, given.at(0)
        attribute = node.args[1] if len(node.args) > 1 else None
        literal = attribute.value if isinstance(attribute, ast.Constant) else None
        if name == "len":
            if isinstance(first, Object) and first.resource is not None:
                self._length(first, first.resource, node)
        elif name == "setattr" and isinstance(literal, str):
            self.store_attribute(first, literal, node, given.taint)
        elif name == "getattr" and isinstance(literal, str):
            return self.attribute_of(first, literal, node)
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
            self.unknown(given, name)
            return Object(tables.CONTAINERS[f"builtins.{name}"])
        elif name not in _AS_IT_IS:
            self.unknown(given, name)
        return Object(f"builtins.{name}") if name in ("frozenset", "object", "range") else None

    def _length(self, first: Object, resource: Resource, node: ast.AST) -> None:
        if isinstance(first.made_by, Class):
            method = self.reader.method(first.made_by, "__len__")
            if method is not None:
                self.invoke(method, [], {}, node, first)
                return
        self.look(node, resource, "measured", one=False)

    def _next(self, first: Value | None, node: ast.AST) -> Value | None:
        if not isinstance(first, Object) or first.resource is None or self.is_safe(first):
            return None
        if first.made_by in tables.ITERATORS:
            self.record(node, first.resource, "update", "stepped", inside=True)
        return None

    def enter(self, value: Value | None) -> None:
        """Hold *value* where it is a lock."""
        if not isinstance(value, Object) or value.resource is None:
            return
        # what nobody knows, and is entered: a lock out of a mapping, or made elsewhere
        if value.made_by is None or value.made_by in tables.LOCKS:
            self.hold(deeper(value.resource, SOMEWHERE) if value.element else value.resource)


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
