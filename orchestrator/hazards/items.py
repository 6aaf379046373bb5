"""Reading what containers hold: by key, by index, one after another."""

from __future__ import annotations

import ast
from dataclasses import replace

from orchestrator.hazards import tables
from orchestrator.hazards.frames import Frame
from orchestrator.hazards.values import (
    SOMEWHERE,
    Class,
    Function,
    Object,
    Outside,
    Text,
    deeper,
    keyed,
    placed,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from orchestrator.hazards.frames import Taint
    from orchestrator.hazards.values import Resource, Value

_SEQUENCES = frozenset({"list", "tuple"})  # a slice of one is another


class Items(Frame):
    """Reads what containers hold."""

    def value(self, node: ast.AST | None) -> Value | None:
        """Return what *node* stands for, and record what it touches."""
        raise NotImplementedError

    def invoke(
        self,
        function: Function,
        positional: list[Value | None],
        keywords: dict[str, Value | None],
        node: ast.AST,
        receiver: Value | None = None,
        taint: Taint | None = None,
    ) -> Value | None:
        """Note a call of a function of the job's own; return what it gives."""
        raise NotImplementedError

    def made_from(self, node: ast.AST | None) -> tuple[Value | None, Taint]:
        """Return what *node* stands for, and what that was made from."""
        before, self.seen = self.seen, {}
        value = self.value(node)
        taint, self.seen = self.seen, {**before, **self.seen}
        return value, taint

    def receiver(self, node: ast.AST) -> Value | None:
        """Return what *node* stands for, to look into it: which object it is decides nothing."""
        before = dict(self.seen)
        value = self.value(node)
        if isinstance(value, Object) and value.resource is not None:
            self.seen = before
        return value

    def touched(self, value: Value | None, node: ast.AST) -> Value | None:
        """Return *value*, which the name *node* stands for, and record that it was read."""
        if isinstance(value, Object) and value.resource is not None and not value.element:
            self.read(node, value.resource)
        return value

    def is_safe(self, value: Object) -> bool:
        """Tell whether several threads may use *value* at once."""
        if isinstance(value.made_by, Class):
            return any(
                isinstance(base, Outside) and base.dotted in tables.SAFE - {"builtins.object"}
                for base in self.reader.lineage(value.made_by)
            )
        return value.made_by in tables.SAFE

    def escape(self, value: Value | None, node: ast.AST, *, one: bool = False) -> None:
        """Record that somebody who is not followed looks through *value*, or in *one* step."""
        if isinstance(value, Object) and value.resource is not None and not self.is_safe(value):
            by_key = value.element or keyed(value.resource)
            self.look(node, value.resource, one=one or by_key, keyed=by_key)

    def _subscript(self, node: ast.Subscript) -> Value | None:
        if isinstance(node.value, ast.Call) and _is_globals(node.value):
            key = node.slice.value if isinstance(node.slice, ast.Constant) else None
            if isinstance(key, str):
                return self.touched(self.reader.member(self.module.name, key), node)
        base = self.receiver(node.value)
        key = self.key(node.slice)
        if isinstance(base, Text) and isinstance(node.slice, ast.Constant):
            return base.at(node.slice.value)
        if not isinstance(base, Object):
            return None
        if base.resource is None or self.is_safe(base):
            return None if isinstance(node.slice, ast.Slice) else held(base, key)
        if isinstance(base.made_by, Class):
            found, value = self._own_item(base, base.made_by, node)
            if found:
                return value
        if isinstance(node.slice, ast.Slice):
            return self._slice(base, base.resource, node)
        return self.item(base, key, node)

    def _own_item(self, base: Object, kind: Class, node: ast.AST) -> tuple[bool, Value | None]:
        """Return whether *kind* says itself what an item is, and what it gives."""
        if (method := self.reader.method(kind, "__getitem__")) is not None:
            return True, self.invoke(method, [None], {}, node, base)
        method = self.reader.method(kind, "__missing__")
        if method is None or base.resource is None:
            return False, None
        self.guards.append({(base.resource, True): frozenset(self.held.items())})
        value = self.invoke(method, [None], {}, node, base)
        self.guards.pop()
        return True, value

    def _slice(self, base: Object, resource: Resource, node: ast.AST) -> Value:
        copied = base.made_by in _SEQUENCES
        self.look(node, resource, "read", one=copied, keyed=base.element)
        if copied:
            return Object(base.made_by, fields=base.fields)
        return Object(None, resource, element=True, fields=base.fields)

    def item(self, base: Object, key: str | None, node: ast.AST) -> Value | None:
        """Return what *base* holds at *key*, and record the look at it."""
        resource = base.resource
        assert resource is not None
        slot, missing = slot_of(base, key), dict(base.fields).get("missing")
        if missing is not None and isinstance(node, ast.Subscript):
            return self._missing(base, missing, node)
        how = "needed" if isinstance(node, ast.Subscript) and not self.lenient else "read"
        if slot is None:
            self.look(node, resource, how, one=True, keyed=True)
        else:
            self.record(node, resource, "read", how, atomic=True, inside=True, keyed=True)
            self.read(node, slot)
        return held(base, key)

    def _missing(self, base: Object, factory: Value, node: ast.AST) -> Value | None:
        """Return what the mapping *base* holds; code of the job makes it where it lacks."""
        assert base.resource is not None
        self.record(node, base.resource, "update", "checked", inside=True, keyed=True)
        made: Value | None = Object(factory) if isinstance(factory, Class) else None
        if isinstance(factory, Function):
            made = self.invoke(factory, [], {}, node, factory.receiver)
        return placed(made, deeper(base.resource, SOMEWHERE)) if says(made) and made else held(base)

    def key(self, node: ast.AST | None) -> str | None:
        """Read the key that *node* is; return it as it stands in the name of a resource."""
        return key_of(node, self.value(node))

    def _compare(self, node: ast.Compare) -> None:
        sides = [node.left, *node.comparators]
        key = None
        for index, side in enumerate(sides):
            within = index > 0 and isinstance(node.ops[index - 1], ast.In | ast.NotIn)
            if not within:
                key = self.key(side)
                continue
            base = self.receiver(side)
            if not isinstance(base, Object) or base.resource is None or self.is_safe(base):
                continue
            if isinstance(base.made_by, Class):
                method = self.reader.method(base.made_by, "__contains__")
                if method is not None:
                    self.invoke(method, [None], {}, node, base)
                    continue
            self.item(base, key, node)

    def iterate(self, node: ast.AST) -> Value | None:
        """Record that *node* is gone through; return what one of its elements stands for."""
        value = self.receiver(node)
        if isinstance(value, Class) and self.reader.is_enum(value):
            member = deeper(("attribute", value.module, value.path), SOMEWHERE)
            return Object(value, member)
        if not isinstance(value, Object):
            return None
        if isinstance(value.made_by, Class):
            for name in ("__iter__", "__next__"):
                method = self.reader.method(value.made_by, name)
                if method is not None:
                    self.invoke(method, [], {}, node, value)
        if value.resource is not None and not self.is_safe(value):
            if value.made_by in tables.ITERATORS:
                self.record(node, value.resource, "update", "stepped", inside=True)
            else:
                self.look(node, value.resource, one=False)
        keys = value.made_by in ("dict", "Counter")
        return held(replace(value, fields=()) if keys else value)


def _is_globals(node: ast.Call) -> bool:
    return isinstance(node.func, ast.Name) and node.func.id == "globals"


def held(base: Object, key: str | None = None) -> Value | None:
    """Return what *base* holds at *key*; where that says nothing, what any of its elements is."""
    slot, found = slot_of(base, key), base.parts(key)
    if len(found) == 1:
        somewhere = base.resource and deeper(base.resource, SOMEWHERE)
        return placed(found[0], slot or somewhere)
    if base.resource is None and not found:
        return None
    fields = () if isinstance(base.made_by, Class) else base.fields
    return Object(None, slot or base.resource, element=slot is None, fields=fields)


def several(base: Object) -> list[Value]:
    """Return what *base*, one of several things that a container holds, may be."""
    if base.made_by is not None:
        return []
    at = base.resource
    if at is not None and base.element:
        at = deeper(at, SOMEWHERE)
    return [placed(part, at) for part in base.parts()]


def says(value: Value | None) -> bool:
    """Tell whether it matters that a container holds *value*."""
    if isinstance(value, Object):
        known = isinstance(value.made_by, Class) or value.made_by in tables.LOCKS
        # of containers in containers in containers nobody asks
        inner = [
            part for part in value.parts() if not isinstance(part, Object) or part.fields == ()
        ]
        return known or value.resource is not None or bool(inner)
    return isinstance(value, Function | Class)


def key_of(node: ast.AST | None, value: Value | None) -> str | None:
    """Return the key that *node*, which stands for *value*, is in the name of a resource."""
    if isinstance(node, ast.Constant):
        return repr(node.value)
    if isinstance(value, Text):
        return value.key()
    if isinstance(value, Object) and value.made_by == "tuple":
        texts = [(at, part) for at, part in value.fields if isinstance(part, Text)]
        if any(part.parameter for _, part in texts):
            return "(" + ", ".join(f"{at} {part.key()}" for at, part in texts) + ")"
    if isinstance(value, Object) and isinstance(value.made_by, Class) and value.resource:
        member = value.resource[-1]
        if member.startswith(f"{value.made_by.path}[") and SOMEWHERE not in member:
            return member  # of an enumeration
    return None


def slot_of(base: Object, key: str | None) -> Resource | None:
    """Return the resource that *key* leads to; None where it is not known."""
    if base.element or base.resource is None or key is None:
        return None
    if base.made_by in ("list", "deque", "set"):
        return None  # what stands at an index is another thing after an insertion
    return deeper(base.resource, f"[{key}]")
