"""The job's own classes: their bases, methods and attributes."""

from __future__ import annotations

import ast
from dataclasses import replace

from orchestrator.hazards import tables
from orchestrator.hazards.sources import Sources
from orchestrator.hazards.values import MAX_PARTS, Class, Function, Object, Outside, kept_by

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.hazards.frames import Bindings
    from orchestrator.hazards.values import Value

_MAX_BASES = 20
_MOST_ATTRIBUTES = 20
_ENUMS = frozenset(f"enum.{name}" for name in ("Enum", "IntEnum", "StrEnum", "Flag", "IntFlag"))


class Classes:
    """Answers what the job's own classes are; keeps every answer."""

    def __init__(self, root: str) -> None:
        self.sources = Sources(root)
        self._cuts = 0  # how often something was not looked at because it lies too deep
        self._lineages: dict[Class, list[Class | Outside]] = {}

    def evaluate(self, module: str, node: ast.AST | None) -> Value | None:
        """Return what an expression at the top of *module* stands for."""
        raise NotImplementedError

    def member(self, module: str, name: str) -> Value | None:
        """Return what *name* of an own module stands for."""
        raise NotImplementedError

    def bindings(
        self,
        function: Function,
        positional: list[Value | None],
        keywords: dict[str, Value | None],
        *,
        for_task: bool = False,
    ) -> Bindings:
        """Return what the parameters of *function* are bound to, as far as that matters."""
        raise NotImplementedError

    def lineage(self, kind: Class) -> list[Class | Outside]:
        """Return *kind* and its bases, depth first, each once."""
        if kind in self._lineages:
            return self._lineages[kind]
        cuts = self._cuts
        found: list[Class | Outside] = []
        stack: list[Class | Outside] = [kind]
        while stack and len(found) < _MAX_BASES:
            one = stack.pop()
            if one in found:
                continue
            found.append(one)
            if isinstance(one, Class):
                bases = [self.evaluate(one.module, base) for base in one.node.bases]
                stack += [b for b in reversed(bases) if isinstance(b, Class | Outside)]
        if cuts == self._cuts:
            self._lineages[kind] = found
        return found

    def method(self, kind: Class, name: str, *, beyond: bool = False) -> Function | None:
        """Return the method *name* of *kind* or of a base; *beyond*: of a base only."""
        for base in self.lineage(kind)[beyond:]:
            if isinstance(base, Class):
                found = self.sources.body(base).methods.get(name)
                if found is not None:
                    return found
        return None

    def setter(self, kind: Class, name: str) -> Function | None:
        """Return what is called where the property *name* of *kind* is set."""
        for base in self.lineage(kind):
            if isinstance(base, Class) and name in self.sources.body(base).methods:
                return self.sources.body(base).setters.get(name)
        return None

    def metaclass(self, kind: Class) -> Class | None:
        """Return the metaclass of *kind*, where that is an own one."""
        for base in self.lineage(kind):
            if isinstance(base, Class):
                for keyword in base.node.keywords:
                    found = self.evaluate(base.module, keyword.value)
                    if keyword.arg == "metaclass" and isinstance(found, Class):
                        return found
        return None

    def meta_call(self, kind: Class) -> Function | None:
        """Return what the metaclass of *kind* does in place of making an object."""
        meta = self.metaclass(kind)
        return None if meta is None else self.method(meta, "__call__")

    def bound(self, method: Function, receiver: Value) -> Function:
        """Return *method* as it is found on *receiver*."""
        marks = _marks(method)
        if "staticmethod" in marks:
            return method
        if "classmethod" in marks and isinstance(receiver, Object):
            assert isinstance(receiver.made_by, Class)
            return replace(method, receiver=receiver.made_by)
        return replace(method, receiver=receiver)

    def is_property(self, method: Function) -> bool:
        """Tell whether *method* is called by looking at it."""
        return not {"property", "cached_property"}.isdisjoint(_marks(method))

    def instance_value(self, kind: Class, name: str) -> tuple[bool, Value | None]:
        """Return whether methods of *kind* set the attribute *name*, and to what."""
        for base in self.lineage(kind):
            if isinstance(base, Class):
                body = self.sources.body(base)
                if name in body.of_instances:
                    value = self.evaluate(base.module, body.of_instances[name])
                    return True, self.filled(value, base.module, body.filled.get(name, ()))
        return False, None

    def same_as(self, kind: Class, name: str) -> str | None:
        """Return the attribute whose lock a condition, the attribute *name*, goes by."""
        bases = (base for base in self.lineage(kind) if isinstance(base, Class))
        for body in map(self.sources.body, bases):
            match body.of_instances.get(name):
                case ast.Call(func=func, args=[ast.Attribute(value=ast.Name(), attr=lock), *_]):
                    condition = ast.unparse(func).endswith("Condition") and lock != name
                    return lock if condition else None
        return None

    def filled(self, value: Value | None, module: str, put: Sequence[ast.expr]) -> Value | None:
        """Return *value*, a container, with what is *put* into it, where that is of own classes."""
        if not isinstance(value, Object) or value.made_by not in tables.SHARED_CONTAINERS:
            return value
        calls = [part for part in put[:MAX_PARTS] if isinstance(part, ast.Call)]
        kinds = dict.fromkeys(self.evaluate(module, call.func) for call in calls)
        parts = [("", Object(kind)) for kind in kinds if isinstance(kind, Class)]
        return replace(value, fields=(*value.fields, *parts)) if parts else value

    def fields(
        self, kind: Class, positional: list[Value | None], keywords: dict[str, Value | None]
    ) -> tuple[tuple[str, Value], ...]:
        """Return the attributes that the constructor of *kind* sets to what it is given."""
        method = self.method(kind, "__init__")
        if method is None:
            return ()
        given = dict(self.bindings(method, [Object(kind), *positional], keywords))
        return tuple(
            (name, given[node.id])
            for name, node in self.sources.body(kind).of_instances.items()
            if isinstance(node, ast.Name) and node.id in given
        )

    def class_member(self, kind: Class, name: str, receiver: Value) -> Value | None:
        """Return what *name* in the body of *kind*, or of a base, stands for."""
        for base in self.lineage(kind):
            if not isinstance(base, Class):
                continue
            body = self.sources.body(base)
            if name in body.methods:
                method = body.methods[name]
                classy = "classmethod" in _marks(method)
                return replace(method, receiver=receiver) if classy else method
            if name in body.classes:
                return body.classes[name]
            if name in body.values:
                value = self.evaluate(base.module, body.values[name])
                value = self.filled(value, base.module, body.filled.get(name, ()))
                if base.inner:
                    return value
                if self.is_enum(kind) and not name.startswith("_"):
                    return Object(kind, ("attribute", base.module, f"{base.path}[{name}]"))
                return kept_by(value, ("attribute", base.module, f"{base.path}.{name}"))
        if name.startswith("__") or not isinstance(receiver, Class) or kind.inner:
            return None
        meta = self.metaclass(kind)
        if meta is not None and self.has(meta, name):
            return self.class_member(meta, name, receiver)
        return Object(None, ("attribute", kind.module, f"{kind.path}.{name}"))

    def attributes(self, kind: Class) -> list[str]:
        """Return the names of what *kind*, its bases and its instances are known to keep."""
        bodies = [self.sources.body(b) for b in self.lineage(kind) if isinstance(b, Class)]
        names = [name for body in bodies for name in (*body.of_instances, *body.values)]
        return list(dict.fromkeys(names))[:_MOST_ATTRIBUTES]

    def is_enum(self, kind: Class) -> bool:
        """Tell whether what the body of *kind* binds are its members."""
        return any(
            isinstance(base, Outside) and base.dotted in _ENUMS for base in self.lineage(kind)
        )

    def has(self, kind: Class, name: str) -> bool:
        """Tell whether the body of *kind*, or of a base, defines *name*."""
        bodies = (self.sources.body(base) for base in self.lineage(kind) if isinstance(base, Class))
        return any(name in body.methods or name in body.values for body in bodies)

    def is_shared(self, kind: Class, name: str) -> bool:
        """Tell whether all instances of *kind* have the same value *name*."""
        bodies = [self.sources.body(b) for b in self.lineage(kind) if isinstance(b, Class)]
        return any(name in body.values for body in bodies) and not any(
            name in body.of_instances for body in bodies
        )

    def holder_of(self, kind: Class, name: str) -> Class:
        """Return where an assignment to *name* of *kind* is seen: there, or where it stood."""
        for base in self.lineage(kind):
            if isinstance(base, Class) and name in self.sources.body(base).values:
                return base
        return kind

    def class_around(self, function: Function) -> Class | None:
        """Return the class in whose body *function* stands."""
        first, *names = function.path.split(".")
        found = self.member(function.module, first)
        for name in names[:-1]:
            if isinstance(found, Class):
                found = self.sources.body(found).classes.get(name)
        return found if isinstance(found, Class) and names else None


def _marks(method: Function) -> set[str]:
    decorators = getattr(method.node, "decorator_list", ())
    return {getattr(node, "id", getattr(node, "attr", "")) for node in decorators}
