"""Reading the statements of one function."""

from __future__ import annotations

import ast
from dataclasses import replace

from orchestrator.hazards import tables
from orchestrator.hazards.frames import GIVEN, Summary, is_fresh
from orchestrator.hazards.stores import Stores
from orchestrator.hazards.values import Class, Function, Object, Text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from orchestrator.hazards.frames import Bindings, Taint
    from orchestrator.hazards.values import Definition, Value

# An exception that says that something was not there: who catches it has looked.
_MISSED = frozenset({"KeyError", "IndexError", "AttributeError", "LookupError", "NameError"})
_NOTHING_THERE = _MISSED | {"Empty", "Full", "ValueError"}
# Methods of a mapping that give what it keeps, and leave it there: locks, where it is entered.
_KEPT = frozenset({"get", "setdefault"})


class Walker(Stores):
    """Reads a function from its first statement to its last."""

    def walk(self, node: Definition, bindings: Bindings) -> Summary:
        """Return what the function does by itself, and whom it calls."""
        for name, scope in self.reader.scopes(node):
            where = {"local": self.local, "global": self.globals, "nonlocal": self.nonlocals}
            where[scope].add(name)
        spec = node.args
        parameters = [*spec.posonlyargs, *spec.args, *spec.kwonlyargs, spec.vararg, spec.kwarg]
        self.local |= _names_of(parameters)
        self.local -= self.globals | self.nonlocals
        self.values = {**dict.fromkeys(self.local & _names_of(parameters)), **dict(bindings)}
        bound = spec.args[:1] if self.function and self.function.receiver is not None else []
        passed = _names_of(parameters) - _names_of([*bound])
        self.taints = {name: {GIVEN: frozenset()} for name in passed & self.local}
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
        wrote: set[str] = set()
        for node in body:
            if isinstance(node, ast.Expr) and (handle := _written_to(node.value)):
                if handle in wrote:
                    self.pieces.add(node.value)
                wrote.add(handle)
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
                self.literal = repr(value.value) if isinstance(value, ast.Constant) else ""
                for target in targets:
                    self.store(target, value, made, taint)
                self.literal = ""
            case ast.AnnAssign(target=target, value=ast.expr() as value):
                made, taint = self.made_from(value)
                self.store(target, value, made, taint)
            case ast.AugAssign():
                self.augment(node)
            case ast.Delete(targets=targets):
                for target in targets:
                    self.delete(target)
            case ast.Return(value=value):
                self._return(node, value)
            case ast.If():
                self._if(node)
            case ast.While(test=test, body=body, orelse=orelse):
                self._repeated(self.test(test), body)
                self.block(orelse)
            case ast.For() | ast.AsyncFor():
                self._for(node)
            case ast.With() | ast.AsyncWith():
                self._with(node)
            case ast.Try() | ast.TryStar():
                self._try(node)
            case ast.Match():
                self._match(node)
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                self._define(node)
            case ast.ClassDef():
                path = f"{self.name}.{node.name}" if self.name else node.name
                closure = self.around(node, node.name)
                self.values[node.name] = Class(self.module.name, path, node, closure, inner=True)
            case ast.Import() | ast.ImportFrom():
                self.importing(node)
            case ast.Global() | ast.Nonlocal() | ast.Pass():
                pass
            case ast.Expr(value=value):
                self.unused = value
                self.value(value)
            case _:
                for child in ast.iter_child_nodes(node):
                    self.value(child)

    def _define(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        path = f"{self.name}.{node.name}" if self.name else node.name
        closure = (*self.around(node, node.name), (node.name, None))  # None: itself
        self.values[node.name] = Function(self.module.name, path, node, closure=closure, inner=True)

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
        assigned = dict(self.assigned)
        self.guards.append(taint)
        self.block(body)
        self.guards.pop()
        self.assigned = assigned

    def _repeated(self, taint: Taint, body: list[ast.stmt]) -> None:
        before = self.state()
        self.loops += 1
        self._guarded(taint, body)
        self.loops -= 1
        self.go_on([replace(before, held=dict(self.held)), self.state()])

    def _if(self, node: ast.If) -> None:
        taint = self.test(node.test)
        before = self.state()
        self._guarded(taint, node.body)
        after = self.state()
        self.go_on([before])
        self._guarded(taint, node.orelse)
        leaves, otherwise = _leaves(node.body), _leaves(node.orelse)
        if leaves or otherwise:
            self.guards.append(taint)
        if not leaves:
            self.go_on([after] if otherwise or self._is_lock(node.test) else [self.state(), after])

    def _is_lock(self, node: ast.expr) -> bool:
        """Tell whether *node* is a lock: there is one, if somebody asks."""
        value = self.again(node) if isinstance(node, ast.Name | ast.Attribute) else None
        return isinstance(value, Object) and value.made_by in tables.LOCKS

    def _match(self, node: ast.Match) -> None:
        value, taint = self.made_from(node.subject)
        before, ends = self.state(), []
        for case in node.cases:
            self.go_on([before])
            self._capture(case.pattern, value, taint)
            if case.guard is not None:
                taint = {**taint, **self.test(case.guard)}  # it failed where a later case is met
            self._guarded(taint, case.body)
            if not _leaves(case.body):
                ends.append(self.state())
        last = node.cases[-1]
        if last.guard is not None or not isinstance(last.pattern, ast.MatchAs):
            ends.append(before)
        if any(_leaves(case.body) for case in node.cases):
            self.guards.append(taint)
        self.go_on(ends)

    def _capture(self, pattern: ast.pattern, value: Value | None, taint: Taint) -> None:
        """Bind what *pattern* takes out of *value*."""
        part: Value | None = None
        if isinstance(value, Object) and value.resource is not None:
            part = Object(None, value.resource, element=True)
        match pattern:
            case ast.MatchAs(name=name):
                part = value
                if name is not None:
                    self.store_name(name, pattern, value, taint)
            case ast.MatchOr():
                part = value
            case ast.MatchStar(name=str() as name) | ast.MatchMapping(rest=str() as name):
                self.store_name(name, pattern, None, taint)
            case ast.MatchValue(value=constant):
                self.value(constant)
        for inner in ast.iter_child_nodes(pattern):
            if isinstance(inner, ast.pattern):
                self._capture(inner, part, taint)

    def _for(self, node: ast.For | ast.AsyncFor) -> None:
        before, self.seen = self.seen, {}
        element = self.iterate(node.iter)
        taint, self.seen = self.seen, {**before, **self.seen}
        self.store_each(node.target, element, taint)
        self._repeated(taint, node.body)
        self._guarded(taint, node.orelse)

    def _try(self, node: ast.Try | ast.TryStar) -> None:
        before, self.seen = self.seen, {}
        start, lenient = self.state(), self.lenient
        self.lenient = lenient or any(map(_catches, node.handlers))
        self.block(node.body)
        self.lenient = lenient
        taint, self.seen = self.seen, {**before, **self.seen}
        broken = [start, self.state()]
        self.block(node.orelse)
        leaves = _leaves(node.body) or _leaves(node.orelse)
        ends = [] if leaves else [self.state()]
        for handler in node.handlers:
            self.go_on(broken)
            missed = handler.type is not None and not _MISSED.isdisjoint(_names(handler.type))
            self._guarded(taint if missed else {}, handler.body)
            if not _leaves(handler.body):
                ends.append(self.state())
                if missed and leaves:  # who goes on has missed it
                    self.guards.append(taint)
        self.go_on(ends)
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
                self.store(item.optional_vars, None, result, self.seen)
        lenient = self.lenient
        self.lenient = lenient or any(map(_suppresses, node.items))
        self.block(node.body)
        self.lenient = lenient
        for value in entered:
            assert isinstance(value.made_by, Class)
            method = self.reader.method(value.made_by, "__exit__")
            if method is not None:
                self.invoke(method, [None, None, None], {}, node, value)
        kept = {
            lock: hold for lock, hold in self.held.items() if lock in held or lock[0] == "after"
        }
        self.held = kept

    def _context(self, node: ast.expr) -> Value | None:
        calls = len(self.done.calls)
        value = self.value(node)
        if not isinstance(node, ast.Call):
            self.enter(value)
            return value
        given = len(self.done.calls) > calls or getattr(node.func, "attr", "") in _KEPT
        if isinstance(value, Object) and (given or value.made_by in tables.LOCKS):
            self.enter(value)
        for call in self.done.calls[calls:]:
            if self.reader.is_context_manager(call.function):
                for lock in self.reader.summary(call.function, call.bindings).yields_under:
                    self.hold(lock)
        return value if not isinstance(value, Text) else None


def _written_to(node: ast.expr) -> str:
    """Return what *node* calls ``write`` of, as it is written; nothing where it does not."""
    match node:
        case ast.Call(func=ast.Attribute(value=handle, attr="write")):
            return ast.unparse(handle)
    return ""


def _catches(handler: ast.ExceptHandler) -> bool:
    """Tell whether *handler* catches that there was nothing to take."""
    return handler.type is not None and not _NOTHING_THERE.isdisjoint(_names(handler.type))


def _suppresses(item: ast.withitem) -> bool:
    call = item.context_expr
    return (
        isinstance(call, ast.Call)
        and ast.unparse(call.func).endswith("suppress")
        and any(not _NOTHING_THERE.isdisjoint(_names(argument)) for argument in call.args)
    )


def _leaves(body: list[ast.stmt]) -> bool:
    """Tell whether *body* never goes on to what stands after it."""
    match body[-1:]:
        case [ast.Return() | ast.Raise() | ast.Continue() | ast.Break()]:
            return True
        case [ast.If(body=first, orelse=second)]:
            return _leaves(first) and _leaves(second)
        case [ast.With(items=items, body=inner)]:
            return _leaves(inner) and not any("suppress" in ast.unparse(item) for item in items)
    return False


def _names_of(parameters: list[ast.arg | None]) -> set[str]:
    return {parameter.arg for parameter in parameters if parameter is not None}


def _names(node: ast.AST) -> set[str]:
    names = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
    return names | {part.attr for part in ast.walk(node) if isinstance(part, ast.Attribute)}
