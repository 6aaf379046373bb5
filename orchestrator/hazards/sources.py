"""The job's own modules, as text: what each defines at its top, and what its classes hold."""

from __future__ import annotations

import ast
import re
import sys
import tokenize
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator import modules
from orchestrator.hazards.values import Class, Function, Outside, Own

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

MARK = "# orch: shared"
# Stands for what is bound to a name, and not written out.
_UNKNOWN = ast.Constant(None)
_SET = re.compile(r"(\w+)\.set\(")
_PUTS = frozenset({"append", "appendleft", "insert", "add", "setdefault"})


@dataclass
class Module:
    """A module of the job's own.

    *names* are what its top level binds: definitions, imports and values. *rebound* are values that
    functions bind to names which they declare ``global``. *filled* are what is put into containers,
    by their names. *patched* is what is set of other modules, as it is written; *contexts*
    are the names that ``.set`` is called on. *accepted* are the lines with the mark that says that
    sharing is meant.
    """

    name: str
    file: str
    names: dict[str, ast.AST] = field(default_factory=dict)
    rebound: dict[str, list[ast.expr]] = field(default_factory=dict)
    filled: dict[str, list[ast.expr]] = field(default_factory=dict)
    patched: set[str] = field(default_factory=set)
    contexts: frozenset[str] = frozenset()
    stars: list[ast.ImportFrom] = field(default_factory=list)
    accepted: frozenset[int] = frozenset()
    is_package: bool = False

    def absolute(self, node: ast.ImportFrom) -> str:
        """Return the full name of the module that *node* imports from."""
        if not node.level:
            return node.module or ""
        parts = self.name.split(".")
        parts = parts[: len(parts) - node.level + self.is_package]
        return ".".join([*parts, node.module] if node.module else parts)


@dataclass
class Body:
    """What the body of a class defines.

    *setters* are what properties do where they are set. *values* are what it binds to names;
    annotated fields of records are no such, but what each instance has. *of_instances* are those,
    and what methods bind to attributes of their first parameter; *filled* is what they put into
    containers that are such attributes.
    """

    methods: dict[str, Function] = field(default_factory=dict)
    setters: dict[str, Function] = field(default_factory=dict)
    classes: dict[str, Class] = field(default_factory=dict)
    values: dict[str, ast.expr | None] = field(default_factory=dict)
    of_instances: dict[str, ast.expr] = field(default_factory=dict)
    filled: dict[str, list[ast.expr]] = field(default_factory=dict)


class Sources:
    """The modules below *root* that are the job's own, each read once."""

    def __init__(self, root: str) -> None:
        self.root = Path(root).resolve()
        self._root = root
        self.broken: set[str] = set()  # modules that are the job's own, and cannot be read
        self._found: dict[str, Module | None] = {}
        self._bodies: dict[Class, Body] = {}

    def module(self, name: str) -> Module | None:
        """Return module *name*; None where it is not the job's own, or cannot be read."""
        if name not in self._found:
            self._found[name] = None
            self._found[name] = self._read(name)
        return self._found[name]

    def _read(self, name: str) -> Module | None:
        file = self._own_file(name)
        if file is None:
            return None
        try:
            with tokenize.open(file) as stream:
                text = stream.read()
            tree = ast.parse(text, str(file))
        except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
            self.broken.add(name)
            return None
        found = Module(name, str(file), is_package=file.name == "__init__.py")
        if MARK in text:
            lines = enumerate(text.split("\n"), 1)
            found.accepted = frozenset(number for number, line in lines if MARK in line)
        if "ContextVar" in text:
            found.contexts = frozenset(_SET.findall(text))
        for node in statements(tree.body):
            _bind(node, found)
        declares = "global" in text  # else no function binds a name of the module
        for part in ast.walk(tree):
            if isinstance(part, ast.Assign | ast.Call):
                _look_at(part, found)
            elif declares and isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef):
                _rebind(part, found)
        return found

    def _own_file(self, name: str) -> Path | None:
        if not name or name.partition(".")[0] in sys.stdlib_module_names:
            return None
        try:
            file = modules.find(name, self._root)
            inside = file.resolve().relative_to(self.root) if file else Path()
        except (modules.NotThere, OSError, SyntaxError, ValueError, RecursionError):
            return None
        return None if {"site-packages", "dist-packages"} & set(inside.parts) else file

    def body(self, kind: Class) -> Body:
        """Return what the body of *kind* defines."""
        if kind not in self._bodies:
            self._bodies[kind] = _body(kind)
        return self._bodies[kind]


def _body(kind: Class) -> Body:
    found = Body()
    declared: dict[str, ast.expr] = {}
    recorded = bool(kind.node.decorator_list or kind.node.bases)
    for node in statements(kind.node.body):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                _add_method(kind, node, found)
                _add_attributes(node, found)
            case ast.ClassDef(name=name):
                inner = Class(kind.module, f"{kind.path}.{name}", node, kind.closure, kind.inner)
                found.classes[name] = inner
            case ast.AnnAssign(target=ast.Name(id=name), value=value):
                if "ClassVar" in ast.unparse(node.annotation) or not recorded:
                    found.values[name] = value
                else:
                    declared[name] = _made_for_each(value)
            case ast.Assign():
                bound = _bindings(node)
                found.values |= {t.id: value for t, value in bound if isinstance(t, ast.Name)}
    for name, value in declared.items():
        if value is not _UNKNOWN or name not in found.of_instances:
            found.of_instances[name] = value
    return found


def _add_method(kind: Class, node: ast.FunctionDef | ast.AsyncFunctionDef, found: Body) -> None:
    path = f"{kind.path}.{node.name}"
    method = Function(kind.module, path, node, closure=kind.closure, inner=kind.inner)
    match node.decorator_list:
        case [ast.Attribute(value=ast.Name(id=node.name), attr="setter")]:
            found.setters[node.name] = method
        case [ast.Attribute(value=ast.Name(id=node.name))]:
            pass  # what a property does where it is deleted
        case _:
            found.methods[node.name] = method


def _made_for_each(value: ast.expr | None) -> ast.expr:
    """Return what the field of a record is where the constructor is given nothing for it."""
    for keyword in value.keywords if isinstance(value, ast.Call) else ():
        if keyword.arg in ("default_factory", "factory"):
            return ast.copy_location(ast.Call(keyword.value, [], []), keyword.value)
    return _UNKNOWN  # a default that is a constant says nothing about what it is given


def _add_attributes(node: ast.FunctionDef | ast.AsyncFunctionDef, found: Body) -> None:
    """Add what the method *node* binds to attributes of its first parameter, or puts into them."""
    marks = {getattr(decorator, "id", "") for decorator in node.decorator_list}
    if not node.args.args or marks & {"classmethod", "staticmethod"}:
        return
    first = node.args.args[0].arg
    for part in ast.walk(node):
        for target, value in _bindings(part):
            if (name := _attribute(target, first)) is not None:
                found.of_instances.setdefault(name, value)
        for target, value in _put(part):
            if (name := _attribute(target, first)) is not None:
                found.filled.setdefault(name, []).append(value)


def _attribute(node: ast.expr, of: str) -> str | None:
    """Return the name of the attribute of name *of* that *node* is, if so."""
    match node:
        case ast.Attribute(value=ast.Name(id=name), attr=attribute) if name == of:
            return attribute
    return None


def _put(node: ast.AST) -> Iterator[tuple[ast.expr, ast.Call]]:
    """Yield each container that *node* puts what a call gives into, with that call."""
    match node:
        case ast.Assign(targets=targets, value=ast.Call() as value):
            for target in targets:
                if isinstance(target, ast.Subscript):
                    yield target.value, value
        case ast.Call(
            func=ast.Attribute(value=container, attr=name), args=[*_, ast.Call() as made]
        ):
            if name in _PUTS:
                yield container, made


def _bindings(node: ast.AST) -> Iterator[tuple[ast.expr, ast.expr]]:
    """Yield each target that *node* assigns to, with what it is given."""
    match node:
        case ast.Assign(targets=targets, value=value):
            for target in targets:
                yield from pairs(target, value)
        case ast.AnnAssign(target=target, value=ast.expr() as value):
            yield target, value
        case ast.AugAssign(target=target, value=value):
            yield target, value
        case ast.NamedExpr(target=target, value=value):
            yield target, value


def pairs(target: ast.expr, value: ast.expr) -> Iterator[tuple[ast.expr, ast.expr]]:
    """Yield each part of *target* with its part of *value*, as far as both are written out."""
    if not isinstance(target, ast.Tuple | ast.List):
        yield target, value
        return
    parts = value.elts if isinstance(value, ast.Tuple | ast.List) else []
    plain = not any(isinstance(part, ast.Starred) for part in (*parts, *target.elts))
    known = plain and len(parts) == len(target.elts)
    for index, inner in enumerate(target.elts):
        if isinstance(inner, ast.Starred):
            yield from pairs(inner.value, _UNKNOWN)
        else:
            yield from pairs(inner, parts[index] if known else _UNKNOWN)


def statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements of *body*, also those under conditions, in order."""
    for node in body:
        yield node
        match node:
            case ast.If() | ast.For() | ast.While():
                yield from statements(node.body + node.orelse)
            case ast.With():
                yield from statements(node.body)
            case ast.Match():
                yield from statements([inner for case in node.cases for inner in case.body])
            case ast.Try() | ast.TryStar():
                inner = [*node.body, *node.orelse, *node.finalbody]
                yield from statements(inner + [s for h in node.handlers for s in h.body])


def _bind(node: ast.stmt, found: Module) -> None:  # noqa: C901 - a case for each binding
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            found.names[node.name] = node
        case ast.ImportFrom() if node.names[0].name == "*":
            found.stars.append(node)
        case ast.Import() | ast.ImportFrom():
            for alias in node.names:
                found.names[alias.asname or alias.name.partition(".")[0]] = node
        case ast.AugAssign(target=ast.Name(id=name)):
            found.names.setdefault(name, node.value)
        case ast.For(target=target, iter=value):
            _name_all(pairs(target, value), found)
        case ast.Assign():
            _name_all(_bindings(node), found)
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
            found.names[name] = value
        case ast.With(items=items):
            for item in items:
                if isinstance(item.optional_vars, ast.Name):
                    found.names[item.optional_vars.id] = item.context_expr


def _name_all(bound: Iterator[tuple[ast.expr, ast.expr]], found: Module) -> None:
    found.names |= {t.id: value for t, value in bound if isinstance(t, ast.Name)}


def _look_at(node: ast.Assign | ast.Call, found: Module) -> None:
    """Note what *node*, anywhere in the module, puts into containers and sets of other modules."""
    found.patched.update(_patched(node, found))
    for container, value in _put(node):
        if isinstance(container, ast.Name):
            found.filled.setdefault(container.id, []).append(value)


def _patched(node: ast.Assign | ast.Call, module: Module) -> Iterator[str]:
    """Yield the attributes of imported names that *node* sets."""
    for target in node.targets if isinstance(node, ast.Assign) else ():
        match target:
            case ast.Attribute(value=ast.Name(id=name), attr=attribute):
                if isinstance(module.names.get(name), ast.Import):
                    yield f"{name}.{attribute}"


def _rebind(function: ast.FunctionDef | ast.AsyncFunctionDef, found: Module) -> None:
    declared = {
        name for part in ast.walk(function) if isinstance(part, ast.Global) for name in part.names
    }
    if not declared:
        return
    for part in ast.walk(function):
        for target, value in _bindings(part):
            if isinstance(target, ast.Name) and target.id in declared:
                found.rebound.setdefault(target.id, []).append(value)
    for name in declared:
        found.names.setdefault(name, ast.Constant(None))
        found.rebound.setdefault(name, [])


def imported(module: Module, node: ast.Import | ast.ImportFrom, name: str) -> tuple[str, str]:
    """Return the module and the name in it (or nothing) that *node* binds to *name*."""
    for alias in node.names:
        if isinstance(node, ast.Import):
            if alias.asname == name:
                return alias.name, ""
            if not alias.asname and alias.name.partition(".")[0] == name:
                return name, ""
        elif (alias.asname or alias.name) == name:
            return module.absolute(node), alias.name
    return "", ""


def named(dotted: str, sources: Sources) -> Own | Outside:
    """Return the module *dotted*, own or not."""
    inside = sources.module(dotted) is not None or _is_folder(dotted, sources.root)
    return Own(dotted) if inside else Outside(dotted)


def _is_folder(dotted: str, root: Path) -> bool:
    """Tell whether *dotted* is a package without ``__init__.py`` of the job's own."""
    if not dotted or dotted.partition(".")[0] in sys.stdlib_module_names:
        return False
    return root.joinpath(*dotted.split(".")).is_dir()
