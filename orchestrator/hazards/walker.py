"""Reading the statements of one function."""

from __future__ import annotations

import ast

from orchestrator.hazards import tables
from orchestrator.hazards.calls import Calls
from orchestrator.hazards.expressions import slot_of
from orchestrator.hazards.frames import Summary, is_fresh, locals_of
from orchestrator.hazards.values import Class, Function, Object, Text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from orchestrator.hazards.frames import Bindings, Taint
    from orchestrator.hazards.values import Definition, Resource, Value

# An exception that says that something was not there: who catches it has looked.
_MISSED = frozenset({"KeyError", "IndexError", "AttributeError", "LookupError", "NameError"})


class Walker(Calls):
    """Reads a function from its first statement to its last."""

    def walk(self, node: Definition, bindings: Bindings) -> Summary:
        """Return what the function does by itself, and whom it calls."""
        for name, scope in locals_of(node):
            where = {"local": self.local, "global": self.globals, "nonlocal": self.nonlocals}
            where[scope].add(name)
        spec = node.args
        parameters = [*spec.posonlyargs, *spec.args, *spec.kwonlyargs, spec.vararg, spec.kwarg]
        for parameter in parameters:
            if parameter is not None:
                self.local.add(parameter.arg)
        self.local -= self.globals | self.nonlocals
        self.values.update(bindings)
        if isinstance(node, ast.Lambda):
            self.done.returned = self.value(node.body)
            self.done.decides = set(self.seen)
        else:
            self.block(node.body)
        self.done.leaves = frozenset(self.held)
        return self.done

    def block(self, body: list[ast.stmt]) -> None:
        """Read statements in order; what a check that leaves early has seen guards those after."""
        guards = len(self.guards)
        for node in body:
            self._statement(node)
        del self.guards[guards:]

    def _statement(self, node: ast.stmt) -> None:
        before, self.seen = self.seen, {}
        lines = self.lines
        first = getattr(node, "lineno", 0)
        compound = hasattr(node, "body")
        self.lines = range(0) if compound else range(first, (node.end_lineno or first) + 1)
        self._read(node)
        self.seen = {**before, **self.seen}
        self.lines = lines

    def _read(self, node: ast.stmt) -> None:  # noqa: C901, PLR0912 - a case for each statement
        match node:
            case ast.Assign(targets=targets, value=value):
                made, taint = self.made_from(value)
                for target in targets:
                    self._store(target, value, made, taint)
            case ast.AnnAssign(target=target, value=ast.expr() as value):
                made, taint = self.made_from(value)
                self._store(target, value, made, taint)
            case ast.AugAssign():
                self._augment(node)
            case ast.Delete(targets=targets):
                for target in targets:
                    self._delete(target)
            case ast.Return(value=value):
                self._return(node, value)
            case ast.If():
                self._if(node)
            case ast.While(test=test, body=body, orelse=orelse):
                self._guarded(self.test(test), body)
                self.block(orelse)
            case ast.For() | ast.AsyncFor():
                self._for(node)
            case ast.With() | ast.AsyncWith():
                self._with(node)
            case ast.Try():
                self._try(node)
            case ast.Match(subject=subject, cases=cases):
                _, taint = self.made_from(subject)
                for case in cases:
                    self._guarded(taint, case.body)
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                self._define(node)
            case ast.ClassDef():
                self.values[node.name] = None
            case ast.Import() | ast.ImportFrom():
                self.importing(node)
            case ast.Global() | ast.Nonlocal() | ast.Pass():
                pass
            case _:
                for child in ast.iter_child_nodes(node):
                    self.value(child)

    # what binds

    def _store(
        self, target: ast.expr, source: ast.expr | None, made: Value | None, taint: Taint
    ) -> None:
        match target:
            case ast.Name(id=name):
                self._store_name(name, target, made, taint)
            case ast.Tuple(elts=targets) | ast.List(elts=targets):
                parts = source.elts if isinstance(source, ast.Tuple | ast.List) else []
                for index, inner in enumerate(targets):
                    part: Value | None = None
                    if len(parts) == len(targets):
                        before = self.seen
                        part = self._again(parts[index])
                        self.seen = before
                    self._store(inner, None, part, taint)
            case ast.Starred(value=inner):
                self._store(inner, None, None, taint)
            case ast.Attribute(value=base, attr=name):
                self.store_attribute(self.receiver(base), name, target, taint)
            case ast.Subscript():
                self._store_item(target, taint, augmented=False)

    def _again(self, node: ast.expr) -> Value | None:
        """Return what *node* stands for, without recording what it touches a second time."""
        effects, calls = len(self.done.effects), len(self.done.calls)
        value = self.value(node)
        del self.done.effects[effects:], self.done.calls[calls:]
        return value

    def _store_name(self, name: str, node: ast.AST, made: Value | None, taint: Taint) -> None:
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

    def _store_item(self, target: ast.Subscript, taint: Taint, *, augmented: bool) -> None:
        if _is_globals(target.value):
            key = target.slice.value if isinstance(target.slice, ast.Constant) else None
            if isinstance(key, str):
                resource: Resource = ("global", self.module.name, key)
                self.write(target, (resource, False), "set", taint, one=False)
            return
        base = self.receiver(target.value)
        _, key_taint = self.made_from(target.slice)
        if not isinstance(base, Object) or base.resource is None or self.is_safe(base):
            return
        if isinstance(base.made_by, Class):
            method = self.reader.method(base.made_by, "__setitem__")
            if method is not None:
                self.invoke(method, [None, None], {}, target, base)
                return
        slot = slot_of(base, target.slice)
        one = not isinstance(target.slice, ast.Slice)
        if slot is not None:
            self.record(target, base.resource, "write", "set", atomic=True, inside=True)
            if augmented:
                self.record(target, slot, "update", "augmented")
            else:
                self.write(target, (slot, False), "set", taint, one=False)
        elif augmented:
            self.record(target, base.resource, "update", "augmented", inside=True)
        else:
            one = one and base.resource[0] != "process"
            spot = (base.resource, True)
            self.write(target, spot, "set", {**key_taint, **taint}, one=one)

    def _augment(self, node: ast.AugAssign) -> None:
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
                self._store_item(target, taint, augmented=True)

    def _delete(self, target: ast.expr) -> None:
        match target:
            case ast.Subscript():
                self._store_item(target, {}, augmented=False)
            case ast.Name() | ast.Attribute():
                self._store(target, None, None, {})
            case ast.Tuple(elts=targets) | ast.List(elts=targets):
                for inner in targets:
                    self._delete(inner)

    def _define(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        path = f"{self.name}.{node.name}" if self.name else node.name
        closure = tuple((name, value) for name, value in self.snapshot() if name != node.name)
        self.values[node.name] = Function(self.module.name, path, node, closure=closure)

    def _return(self, node: ast.Return, value: ast.expr | None) -> None:
        found, taint = self.made_from(value)
        self.give(found, node)
        self.done.decides |= set(taint)
        for guard in self.guards:
            self.done.decides |= set(guard)
        if is_fresh(self.done.returned):
            self.done.returned = found

    # what decides and what repeats

    def _guarded(self, taint: Taint, body: list[ast.stmt]) -> None:
        self.guards.append(taint)
        self.block(body)
        self.guards.pop()

    def _if(self, node: ast.If) -> None:
        taint = self.test(node.test)
        held, values = dict(self.held), dict(self.values)
        self._guarded(taint, node.body)
        after, there = dict(self.held), dict(self.values)
        self.held, self.values = held, values
        self._guarded(taint, node.orelse)
        if _leaves(node.body):
            self.guards.append(taint)
            return
        if _leaves(node.orelse) and node.orelse:
            self.guards.append(taint)
            self.held, self.values = after, there
            return
        self.held = {lock: hold for lock, hold in after.items() if self.held.get(lock) == hold}
        for name, value in there.items():
            shared = isinstance(value, Object) and value.resource is not None
            if shared or self.values.get(name) is None:
                self.values[name] = value

    def _for(self, node: ast.For | ast.AsyncFor) -> None:
        before, self.seen = self.seen, {}
        element = self.iterate(node.iter)
        taint, self.seen = self.seen, {**before, **self.seen}
        self.bind_all(node.target, element, taint)
        self._guarded(taint, node.body)
        self.block(node.orelse)

    def _try(self, node: ast.Try) -> None:
        before, self.seen = self.seen, {}
        self.block(node.body)
        taint, self.seen = self.seen, {**before, **self.seen}
        for handler in node.handlers:
            missed = handler.type is not None and not _MISSED.isdisjoint(_names(handler.type))
            self._guarded(taint if missed else {}, handler.body)
        self.block(node.orelse)
        self.block(node.finalbody)

    def _with(self, node: ast.With | ast.AsyncWith) -> None:
        held = dict(self.held)
        entered = []
        for item in node.items:
            value = self._context(item.context_expr)
            result = value
            if isinstance(value, Object) and isinstance(value.made_by, Class):
                method = self.reader.method(value.made_by, "__enter__")
                if method is not None:
                    result = self.invoke(method, [], {}, item.context_expr, value)
                entered.append(value)
            if item.optional_vars is not None:
                self._store(item.optional_vars, None, result, self.seen)
        self.block(node.body)
        for value in entered:
            assert isinstance(value.made_by, Class)
            method = self.reader.method(value.made_by, "__exit__")
            if method is not None:
                self.invoke(method, [None, None, None], {}, node, value)
        self.held = {lock: hold for lock, hold in self.held.items() if lock in held}

    def _context(self, node: ast.expr) -> Value | None:
        calls = len(self.done.calls)
        value = self.value(node)
        if not isinstance(node, ast.Call):
            self.enter(value)
            return value
        if isinstance(value, Object) and value.made_by in tables.LOCKS:
            self.enter(value)
        for call in self.done.calls[calls:]:
            if self.reader.is_context_manager(call.function):
                for lock in self.reader.summary(call.function, call.bindings).yields_under:
                    self.hold(lock)
        return value if not isinstance(value, Text) else None


def _is_globals(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "globals"
    )


def _leaves(body: list[ast.stmt]) -> bool:
    """Tell whether *body* never goes on to what stands after it."""
    return bool(body) and isinstance(body[-1], ast.Return | ast.Raise | ast.Continue | ast.Break)


def _names(node: ast.AST) -> set[str]:
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
