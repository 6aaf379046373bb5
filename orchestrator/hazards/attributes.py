"""Reading attributes, and setting them."""

from __future__ import annotations

import ast

from orchestrator.hazards import tables
from orchestrator.hazards.items import Items, several
from orchestrator.hazards.values import (
    NEW,
    Class,
    Function,
    Object,
    Outside,
    Own,
    Text,
    deeper,
    kept_by,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from orchestrator.hazards.frames import Taint
    from orchestrator.hazards.values import Resource, Value


class Attributes(Items):
    """Reads and sets attributes."""

    def attribute_of(self, base: Value | None, name: str, node: ast.AST) -> Value | None:
        """Return what ``base.name`` stands for."""
        match base:
            case Outside(dotted):
                full = f"{dotted}.{name}"
                if full in tables.OBJECTS:
                    return Object(*tables.OBJECTS[full])
                return Outside(full)
            case Own(module):
                return self._of_module(module, name, node)
            case Class():
                return self.touched(self.reader.class_member(base, name, base), node)
            case Function() if base.resource is not None and not name.startswith("__"):
                return self.touched(Object(None, deeper(base.resource, f".{name}")), node)
            case Object():
                return self._member(base, name, node)
            case Text(parameter=(parameter,)) if parameter == NEW:
                return base
        return None

    def _of_module(self, module: str, name: str, node: ast.AST) -> Value | None:
        found = self.reader.member(module, name) or self.reader.submodule(module, name)
        if isinstance(found, Text):
            self.read(node, ("global", module, name))
        lazy = self.reader.member(module, "__getattr__") if found is None else None
        if isinstance(lazy, Function):
            return self.invoke(lazy, [Text(name)], {}, node)
        return self.touched(found, node)

    def _member(self, base: Object, name: str, node: ast.AST) -> Value | None:
        if self.is_safe(base):
            kind = base.made_by
            if isinstance(kind, Class) and self.reader.is_shared(kind, name):
                return self.touched(self.reader.class_member(kind, name, base), node)
            return None
        if isinstance(base.made_by, Class):
            return self._own_member(base, base.made_by, name, node)
        if parts := [part for part in several(base) if isinstance(part, Object)]:
            found = [self._member(part, name, node) for part in parts]
            return next((value for value in found if value is not None), None)
        if base.made_by in tables.NAMESPACES:
            return self._kept(base, name, dict(base.fields).get(name), node)
        if base.resource is None or base.made_by in tables.SHARED_CONTAINERS:
            return None
        if base.made_by is not None:
            self.read(node, deeper(base.resource, f".{name}"))
            return None
        if base.element:
            self.look(node, base.resource, "read", one=True, keyed=True)
            return base
        return self.touched(Object(None, deeper(base.resource, f".{name}")), node)

    def _own_member(self, base: Object, kind: Class, name: str, node: ast.AST) -> Value | None:
        if name == "__class__":
            return kind
        method = self.reader.method(kind, name)
        if method is not None:
            bound = self.reader.bound(method, base)
            if self.reader.is_property(method):
                return self.invoke(method, [], {}, node, base)
            return bound
        for field, given in base.fields:
            if field == name:
                return self.touched(given, node)
        if (lock := self.reader.same_as(kind, name)) is not None:
            return self._own_member(base, kind, lock, node)
        known, value = self.reader.instance_value(kind, name)
        if not known:
            return self.touched(self.reader.class_member(kind, name, base), node)
        return self._kept(base, name, value, node)

    def _kept(self, base: Object, name: str, value: Value | None, node: ast.AST) -> Value | None:
        """Return the attribute *name* of *base* that was set to *value*."""
        if base.resource is None:
            return value
        slot = deeper(base.resource, f".{name}")
        if isinstance(value, Text):
            self.read(node, slot)
        return self.touched(kept_by(value, slot), node)

    def store_attribute(
        self, base: Value | None, name: str, node: ast.AST, taint: Taint, *, augmented: bool = False
    ) -> None:
        """Record that ``base.name`` is set to what was made from *taint*."""
        parts = several(base) if isinstance(base, Object) else []
        if any(isinstance(part, Object) for part in parts):
            for part in parts:
                self.store_attribute(part, name, node, taint, augmented=augmented)
            return
        if isinstance(base, Object) and isinstance(base.made_by, Class):
            setter = self.reader.setter(base.made_by, name)
            if setter is not None:
                if augmented:
                    before, self.seen = self.seen, {}
                    self.attribute_of(base, name, node)
                    taint, self.seen = {**taint, **self.seen}, before
                self.invoke(setter, [None], {}, node, base, taint)
                return
        if isinstance(base, Object) and base.element and not self.is_safe(base):
            self._store_inside(base, node, taint, augmented=augmented)
            return
        resource = self._set_in(base, name)
        if resource is None:
            return
        if augmented:
            self.record(node, resource, "update", "augmented")
        else:
            self.write(node, (resource, False), "set", taint, one=False)

    def attributes(self, base: Value | None) -> list[str]:
        """Return the names of what may be set on *base* by a name that nobody knows."""
        if isinstance(base, Object) and base.made_by in tables.NAMESPACES:
            return [name for name, _ in base.fields]
        if isinstance(base, Object) and isinstance(base.made_by, Class):
            return self.reader.attributes(base.made_by)
        return self.reader.attributes(base) if isinstance(base, Class) else []

    def _set_in(self, base: Value | None, name: str) -> Resource | None:
        """Return what an assignment to ``base.name`` sets; None where only this call has it."""
        match base:
            case Object(made_by=str() as maker) if f"{maker}.{name}" in tables.STORES:
                return ("process", tables.STORES[f"{maker}.{name}"])
            case Own(module):
                return ("global", module, name)
            case Outside(dotted):
                word = tables.STORES.get(f"{dotted}.{name}") or tables.STORES.get(dotted)
                return ("process", word) if word else ("global", dotted, name)
            case Class():
                kind = self.reader.holder_of(base, name)
                return None if kind.inner else ("attribute", kind.module, f"{kind.path}.{name}")
            case Function() if base.resource is not None:
                return deeper(base.resource, f".{name}")
            case Object() if base.resource is not None and not self.is_safe(base):
                return deeper(base.resource, f".{name}")
        return None

    def _store_inside(self, base: Object, node: ast.AST, taint: Taint, *, augmented: bool) -> None:
        if base.resource is None:
            return
        if augmented:
            self.record(node, base.resource, "update", "augmented", inside=True, keyed=True)
        else:
            self.write(node, (base.resource, True), "set", taint, one=False, keyed=True)
