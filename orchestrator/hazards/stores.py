"""Reading assignments: what binds a name, and what outlives the call."""

from __future__ import annotations

import ast

from orchestrator.hazards import tables
from orchestrator.hazards.calls import Calls
from orchestrator.hazards.items import key_of, slot_of
from orchestrator.hazards.sources import pairs
from orchestrator.hazards.values import Class, Object, keyed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from orchestrator.hazards.frames import Taint
    from orchestrator.hazards.values import Resource, Value

_SETTERS = {"set": "__setitem__", "augmented": "__setitem__", "deleted": "__delitem__"}


class Stores(Calls):
    """Reads assignments."""

    def store(
        self, target: ast.expr, source: ast.expr | None, made: Value | None, taint: Taint
    ) -> None:
        """Bind *target* to *made*, which *source* gave and which was made from *taint*."""
        match target:
            case ast.Name(id=name):
                self.store_name(name, target, made, taint)
            case ast.Tuple() | ast.List() if source is not None:
                for inner, part in pairs(target, source):
                    before = self.seen
                    value = self.again(part)
                    self.seen = before
                    self.store(inner, None, value, taint)
            case ast.Tuple() | ast.List() | ast.Starred():
                self.store_each(target, None, taint)
            case ast.Attribute(value=base, attr=name):
                self.store_attribute(self.receiver(base), name, target, taint)
            case ast.Subscript():
                self._store_item(target, taint, "set")

    def store_each(self, target: ast.expr, element: Value | None, taint: Taint) -> None:
        """Bind all parts of *target* to parts of *element*."""
        match target:
            case ast.Tuple(elts=targets) | ast.List(elts=targets):
                for inner in targets:
                    self.store_each(inner, element, taint)
            case ast.Starred(value=inner):
                self.store_each(inner, element, taint)
            case _:
                self.store(target, None, element, taint)

    def again(self, node: ast.expr) -> Value | None:
        """Return what *node* stands for, without recording what it touches a second time."""
        effects, calls = len(self.done.effects), len(self.done.calls)
        value = self.value(node)
        del self.done.effects[effects:], self.done.calls[calls:]
        return value

    def store_name(self, name: str, node: ast.AST, made: Value | None, taint: Taint) -> None:
        """Bind *name*, or record that what it names outside of the call is set."""
        resource = self._outer(name)
        if resource is not None:
            self.write(node, (resource, False), "set", taint, one=False)
        elif name not in self.globals:
            self.bind(name, made, taint)

    def _outer(self, name: str) -> Resource | None:
        """Return what *name* is where an assignment to it outlives the call; else None."""
        if name in self.globals:
            return ("global", self.module.name, name)
        if name in self.nonlocals:
            return self.kept(name)
        return None

    def _store_item(self, target: ast.Subscript, taint: Taint, how: str) -> None:
        """Record that what *target* leads to is ``set``, ``augmented`` or ``deleted``."""
        if _is_globals(target.value):
            key = target.slice.value if isinstance(target.slice, ast.Constant) else None
            if isinstance(key, str):
                resource: Resource = ("global", self.module.name, key)
                self.write(target, (resource, False), "set", taint, one=False)
            return
        base = self.receiver(target.value)
        key_value, key_taint = self.made_from(target.slice)
        if not isinstance(base, Object) or base.resource is None or self.is_safe(base):
            return
        if isinstance(base.made_by, Class):
            method = self.reader.method(base.made_by, _SETTERS[how])
            if method is not None:
                if how == "augmented":
                    taint = {**taint, **self.made_from(target)[1]}
                self.invoke(method, [None, None], {}, target, base, taint)
                return
        augmented = how == "augmented"
        slot = slot_of(base, key_of(target.slice, key_value))
        one = not isinstance(target.slice, ast.Slice)
        if slot is not None:
            self.record(target, base.resource, "write", "set", atomic=True, inside=True, keyed=True)
            whole = keyed(slot) and base.resource[0] != "process"
            if augmented:
                self.record(target, slot, "update", "augmented")
            else:
                self.write(target, (slot, False), how, taint, one=whole)
        elif augmented:
            self.record(target, base.resource, "update", "augmented", inside=True, keyed=one)
        else:
            by_key = one
            one = one and base.resource[0] != "process"
            spot = (base.resource, True)
            self.write(target, spot, how, {**key_taint, **taint}, one=one, keyed=by_key)

    def augment(self, node: ast.AugAssign) -> None:
        """Record what an assignment such as ``+=`` changes."""
        _, taint = self.made_from(node.value)
        match node.target:
            case ast.Name(id=name):
                resource = self._outer(name)
                if resource is not None:
                    self.record(node, resource, "update", "augmented")
                    return
                value = self.values.get(name)
                self.taints.setdefault(name, {}).update(taint)
                shared = isinstance(value, Object) and value.made_by in tables.SHARED_CONTAINERS
                if isinstance(value, Object) and value.resource is not None and shared:
                    self.write(node, (value.resource, True), "extend", taint, one=True)
                elif not shared:
                    self.values[name] = None
            case ast.Attribute(value=base, attr=name):
                self.store_attribute(self.receiver(base), name, node, taint, augmented=True)
            case ast.Subscript() as target:
                self._store_item(target, taint, "augmented")

    def delete(self, target: ast.expr) -> None:
        """Record what ``del`` takes away."""
        match target:
            case ast.Subscript():
                self._store_item(target, {}, "deleted")
            case ast.Name() | ast.Attribute():
                self.store(target, None, None, {})
            case ast.Tuple(elts=targets) | ast.List(elts=targets):
                for inner in targets:
                    self.delete(inner)


def _is_globals(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "globals"
    )
