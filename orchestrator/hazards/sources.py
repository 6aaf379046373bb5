"""The job's own modules, as text: what each defines at its top, and what its classes hold."""

from __future__ import annotations

import ast
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
MAX_BASES = 20


@dataclass
class Module:
    """A module of the job's own.

    *names* are what its top level binds: definitions, imports and values. *rebound* are values that
    functions bind to names which they declare ``global``. *accepted* are the lines with the mark
    that says that sharing is meant.
    """

    name: str
    file: str
    names: dict[str, ast.AST] = field(default_factory=dict)
    rebound: dict[str, list[ast.expr]] = field(default_factory=dict)
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


class Sources:
    """The modules below *root* that are the job's own, each read once."""

    def __init__(self, root: str) -> None:
        self.root = Path(root).resolve()
        self._root = root
        self._found: dict[str, Module | None] = {}

    def module(self, name: str) -> Module | None:
        """Return module *name*; None where it is not the job's own, or cannot be read."""
        if name not in self._found:
            self._found[name] = None
            self._found[name] = self._read(name)
        return self._found[name]

    def _read(self, name: str) -> Module | None:
        if not name or name.partition(".")[0] in sys.stdlib_module_names:
            return None
        try:
            file = self._file(name)
            if file is None:
                return None
            inside = file.resolve().relative_to(self.root)
            if {"site-packages", "dist-packages"} & set(inside.parts):
                return None
            with tokenize.open(file) as stream:
                text = stream.read()
            tree = ast.parse(text, str(file))
        except (modules.NotThere, OSError, SyntaxError, ValueError, RecursionError, MemoryError):
            return None
        found = Module(name, str(file), is_package=file.name == "__init__.py")
        if MARK in text:
            lines = enumerate(text.split("\n"), 1)
            found.accepted = frozenset(number for number, line in lines if MARK in line)
        for node in statements(tree.body):
            _bind(node, found)
        for part in ast.walk(tree):
            if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef):
                _rebind(part, found)
        return found

    def _file(self, name: str) -> Path | None:
        return modules.find(name, self._root)

    def methods_of(self, kind: Class) -> dict[str, Function]:
        """Return the methods that stand in the body of *kind*."""
        return {
            node.name: Function(kind.module, f"{kind.path}.{node.name}", node)
            for node in statements(kind.node.body)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }

    def class_values(self, kind: Class) -> dict[str, ast.expr | None]:
        """Return what the body of *kind* binds to names; without annotated fields of records."""
        found: dict[str, ast.expr | None] = {}
        for node in statements(kind.node.body):
            if isinstance(node, ast.Assign):
                found |= {t.id: node.value for t in node.targets if isinstance(t, ast.Name)}
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                of_class = "ClassVar" in ast.unparse(node.annotation)
                if of_class or not (kind.node.decorator_list or kind.node.bases):
                    found[node.target.id] = node.value
        return found


def instance_values(kind: Class) -> dict[str, ast.expr]:
    """Return what methods in the body of *kind* bind to attributes of their first parameter."""
    found: dict[str, ast.expr] = {}
    for node in statements(kind.node.body):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or not node.args.args:
            continue
        if any(
            getattr(d, "id", "") in ("classmethod", "staticmethod") for d in node.decorator_list
        ):
            continue
        first = node.args.args[0].arg
        for part in ast.walk(node):
            for target, value in _bindings(part):
                for inner in ast.walk(target):
                    if (
                        isinstance(inner, ast.Attribute)
                        and isinstance(inner.value, ast.Name)
                        and inner.value.id == first
                        and isinstance(inner.ctx, ast.Store)
                    ):
                        found.setdefault(inner.attr, value)
    return found


def _bindings(node: ast.AST) -> Iterator[tuple[ast.AST, ast.expr]]:
    match node:
        case ast.Assign(targets=targets, value=value):
            yield from ((target, value) for target in targets)
        case ast.AnnAssign(target=target, value=ast.expr() as value):
            yield target, value
        case ast.AugAssign(target=target, value=value):
            yield target, value


def statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements of *body*, also those under conditions, in order."""
    for node in body:
        yield node
        match node:
            case ast.If() | ast.For() | ast.While():
                yield from statements(node.body + node.orelse)
            case ast.With():
                yield from statements(node.body)
            case ast.Try():
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
        case ast.For(target=target, iter=value) | ast.Assign(targets=[target], value=value):
            _bind_target(target, value, found)
        case ast.Assign(targets=targets, value=value):
            for target in targets:
                _bind_target(target, value, found)
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
            found.names[name] = value
        case ast.With(items=items):
            for item in items:
                if isinstance(item.optional_vars, ast.Name):
                    found.names[item.optional_vars.id] = item.context_expr


def _bind_target(target: ast.expr, value: ast.expr, found: Module) -> None:
    if isinstance(target, ast.Name):
        found.names[target.id] = value
    elif isinstance(target, ast.Tuple | ast.List):
        parts = value.elts if isinstance(value, ast.Tuple | ast.List) else []
        for index, inner in enumerate(target.elts):
            known = parts[index] if len(parts) == len(target.elts) else ast.Constant(None)
            _bind_target(inner, known, found)


def _rebind(function: ast.FunctionDef | ast.AsyncFunctionDef, found: Module) -> None:
    declared = {
        name for part in ast.walk(function) if isinstance(part, ast.Global) for name in part.names
    }
    if not declared:
        return
    for part in ast.walk(function):
        pairs = [(t, v) for t, v in _bindings(part) if isinstance(t, ast.Name)]
        for target, value in pairs:
            if target.id in declared:
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
