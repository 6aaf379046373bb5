"""The job's own functions, classes and globals, each looked at once."""

from __future__ import annotations

import ast
from dataclasses import replace

from orchestrator.hazards import tables
from orchestrator.hazards.classes import Classes
from orchestrator.hazards.frames import Summary, is_fresh, locals_of
from orchestrator.hazards.sources import imported, named
from orchestrator.hazards.values import Class, Function, Object, Outside, Own, Text, kept_by
from orchestrator.hazards.walker import Walker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from orchestrator.hazards.frames import Bindings
    from orchestrator.hazards.sources import Module
    from orchestrator.hazards.values import Definition, Resource, Value

MAX_DEPTH = 20
MAX_SUMMARIES = 4000
_UNREADABLE = (RecursionError, AttributeError, TypeError, ValueError, KeyError, IndexError)


class Reader(Classes):
    """Answers what names stand for, and what functions do; keeps every answer."""

    def __init__(self, root: str) -> None:
        super().__init__(root)
        self._members: dict[tuple[str, str], Value | None] = {}
        self._summaries: dict[tuple[Function, Bindings], Summary] = {}
        self._decorated: dict[Function, Function] = {}
        self._evaluated: dict[tuple[str, ast.AST], Value | None] = {}
        self._mentioned: dict[ast.AST, frozenset[str]] = {}
        self._scopes: dict[Definition, tuple[tuple[str, str], ...]] = {}
        self._generators: dict[Definition, bool] = {}
        # what was cut short, by its name, and what was not begun
        self._failed: set[str] = set()
        self._skipped: set[tuple[Function, Bindings]] = set()
        self._depth = 0
        self._limit = MAX_SUMMARIES

    def allow(self) -> None:
        """Let the next function of a task be followed as far as any other."""
        self._limit = len(self._summaries) + MAX_SUMMARIES

    def fail(self, name: str) -> None:
        """Note that function *name* could not be read to its end."""
        self._failed.add(name)

    @property
    def unread(self) -> tuple[str, ...]:
        """The functions, as ``module:path``, and modules that were not read, or not to the end."""
        skipped = {f"{f.module}:{f.path}" for f, _ in self._skipped - self._summaries.keys()}
        return tuple(sorted(self._failed | skipped | self.sources.broken))

    # names of modules

    def member(self, module: str, name: str) -> Value | None:
        """Return what *name* of an own module stands for."""
        key = (module, name)
        if key not in self._members:
            self._members[key] = Object(None, ("global", module, name))  # while it is looked for
            self._members[key] = self._find_member(module, name)
        return self._members[key]

    def submodule(self, module: str, name: str) -> Value | None:
        """Return module ``module.name`` where that is an own one."""
        found = named(f"{module}.{name}", self.sources)
        return found if isinstance(found, Own) else None

    def from_module(self, base: Value, name: str) -> Value | None:
        """Return what ``from base import name`` binds."""
        if isinstance(base, Own):
            return self.member(base.name, name) or self.submodule(base.name, name)
        assert isinstance(base, Outside)
        full = f"{base.dotted}.{name}"
        if full in tables.OBJECTS:
            return Object(*tables.OBJECTS[full])
        return named(full, self.sources)

    def _find_member(self, module: str, name: str) -> Value | None:
        source = self.sources.module(module)
        if source is None:
            return None
        node = source.names.get(name)
        match node:
            case None:
                return self._by_star(source, name)
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                return Function(module, name, node)
            case ast.ClassDef():
                return Class(module, name, node)
            case ast.Import() | ast.ImportFrom():
                base, inner = imported(source, node, name)
                found = named(base, self.sources)
                return self.from_module(found, inner) if inner else found
        return self._global(source, name, node)

    def _by_star(self, source: Module, name: str) -> Value | None:
        for star in source.stars:
            found = self.from_module(named(source.absolute(star), self.sources), name)
            if isinstance(found, Class | Function | Object | Text):
                return found
        return None

    def _global(self, source: Module, name: str, node: ast.AST) -> Value:
        module = source.name
        value = self.evaluate(module, node)
        if name in source.rebound:
            for other in source.rebound[name]:
                if value is None or isinstance(value, Text):
                    value = self.evaluate(module, other)
            if not isinstance(value, Object) or value.resource is not None:
                value = Object(None)
        value = self.filled(value, module, source.filled.get(name, ()))
        return kept_by(value, ("global", module, name))

    def evaluate(self, module: str, node: ast.AST | None) -> Value | None:
        """Return what an expression at the top of *module* stands for."""
        source = self.sources.module(module)
        if source is None or node is None:
            return None
        key = (module, node)
        if key in self._evaluated:
            return self._evaluated[key]
        if self._depth > MAX_DEPTH:
            self._cuts += 1
            return None
        cuts = self._cuts
        self._depth += 1
        try:
            found = Walker(self, source, None).value(node)
        except _UNREADABLE:
            return None
        finally:
            self._depth -= 1
        if cuts == self._cuts:  # else more is found where it is reached by fewer steps
            self._evaluated[key] = found
        return found

    def mentioned(self, node: ast.AST) -> frozenset[str]:
        """Return the names in *node*."""
        if node not in self._mentioned:
            names = (part.id for part in ast.walk(node) if isinstance(part, ast.Name))
            self._mentioned[node] = frozenset(names)
        return self._mentioned[node]

    def scopes(self, node: Definition) -> tuple[tuple[str, str], ...]:
        """Return the names that *node* binds, each with ``local``, ``global`` or ``nonlocal``."""
        if node not in self._scopes:
            self._scopes[node] = tuple(locals_of(node))
        return self._scopes[node]

    def _is_generator(self, node: Definition) -> bool:
        if node not in self._generators:
            self._generators[node] = _yields(node)
        return self._generators[node]

    # functions

    def summary(self, function: Function, bindings: Bindings) -> Summary:
        """Return what *function* does by itself when called so; nothing where it is not followed.

        What it returns is unknown while it is being read: the calls of a recursion.
        """
        key = (function, bindings)
        known = self._summaries.get(key)
        if known is not None:
            return known
        source = self.sources.module(function.module)
        if source is None:
            return Summary()
        if self._depth > MAX_DEPTH or len(self._summaries) > self._limit:
            self._skipped.add(key)
            self._cuts += 1
            return Summary()
        self._summaries[key] = Summary()
        self._depth += 1
        walker = Walker(self, source, function)
        try:
            found = walker.walk(function.node, bindings)
        except _UNREADABLE:
            self.fail(f"{function.module}:{function.path}")
            found = walker.done
        finally:
            self._depth -= 1
        if self._is_generator(function.node) and not self.is_context_manager(function):
            found.returned = Object("generator")
        self._summaries[key] = found
        return found

    def bindings(
        self,
        function: Function,
        positional: list[Value | None],
        keywords: dict[str, Value | None],
        *,
        for_task: bool = False,
    ) -> Bindings:
        """Return what the parameters of *function* are bound to, as far as that matters.

        *for_task*: no arguments are known; each parameter without a mutable default is its own.
        """
        spec = function.node.args
        names = [argument.arg for argument in spec.posonlyargs + spec.args]
        bound: dict[str, Value] = {}
        for name, default in _defaults(spec):
            value = self.evaluate(function.module, default)
            if isinstance(value, Object) and value.made_by is not None:
                resource = ("default", function.module, f"{function.path}.{name}")
                bound[name] = kept_by(value, resource) if function.resource else value
            elif value is not None and not isinstance(value, Object):
                bound[name] = value
        if for_task:
            every = names + [argument.arg for argument in spec.kwonlyargs]
            for name in every:
                if not isinstance(bound.get(name), Object):
                    bound[name] = Text("", (name,))
        positional = [*function.ahead, *positional]
        if function.receiver is not None and names:
            positional = [function.receiver, *positional]
        given = {**dict(zip(names, positional, strict=False)), **keywords}
        for name, value in given.items():
            bound.pop(name, None)
            if value is not None and not is_fresh(value):
                bound[name] = value
        return tuple(sorted(bound.items(), key=lambda item: item[0]))

    def decorated(self, function: Function) -> Function:
        """Return what stands for *function* once its own decorators have been applied."""
        if function.bare or isinstance(function.node, ast.Lambda):
            return function
        if function not in self._decorated:
            self._decorated[function] = function
            self._decorated[function] = self._decorate(function)
        return self._decorated[function]

    def _decorate(self, function: Function) -> Function:
        found = replace(function, bare=True)
        assert not isinstance(function.node, ast.Lambda)
        holder = ("attribute", function.module, function.path)
        for node in reversed(function.node.decorator_list):
            decorator = self.evaluate(function.module, node)
            if isinstance(decorator, Class):
                made: Value | None = Object(
                    decorator, holder, fields=self.fields(decorator, [found], {})
                )
            else:
                caller = self._called(decorator, holder)
                if caller is None:
                    continue
                made = self.summary(caller, self.bindings(caller, [found], {})).returned
            made = self._called(made, holder)
            if made is not None and made.node is not found.node:
                receiver = made.receiver or function.receiver
                found = replace(made, holder=holder, bare=True, receiver=receiver)
        return found

    def _called(self, value: Value | None, holder: Resource) -> Function | None:
        """Return the function that a call of *value*, which *holder* keeps, is one of."""
        if isinstance(value, Object) and isinstance(value.made_by, Class):
            method = self.method(value.made_by, "__call__")
            return self.bound(method, kept_by(value, holder)) if method else None
        return value if isinstance(value, Function) else None

    def is_context_manager(self, function: Function) -> bool:
        """Tell whether *function* is decorated to stand in a ``with``."""
        return any(
            isinstance(made := self.evaluate(function.module, node), Outside)
            and made.dotted in ("contextlib.contextmanager", "contextlib.asynccontextmanager")
            for node in getattr(function.node, "decorator_list", ())
        )

    def cached(self, function: Function) -> str:
        """Return the decorator by which *function* gives all callers the same; "" without one."""
        for node in getattr(function.node, "decorator_list", ()):
            made = self.evaluate(function.module, node)
            mark = made.dotted if isinstance(made, Outside) else getattr(made, "made_by", None)
            if isinstance(mark, str) and mark in tables.CACHES:
                return mark
        return ""


def _defaults(spec: ast.arguments) -> list[tuple[str, ast.expr]]:
    names = [argument.arg for argument in spec.posonlyargs + spec.args]
    found = list(zip(names[len(names) - len(spec.defaults) :], spec.defaults, strict=True))
    for argument, default in zip(spec.kwonlyargs, spec.kw_defaults, strict=True):
        if default is not None:
            found.append((argument.arg, default))
    return found


def _yields(node: ast.AST) -> bool:
    stack: list[ast.AST] = []
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        stack += node.body
    while stack:
        part = stack.pop()
        if isinstance(part, ast.Yield | ast.YieldFrom):
            return True
        if not isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            stack.extend(ast.iter_child_nodes(part))
    return False
