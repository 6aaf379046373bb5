"""Looking at the user's modules without running them: where they are, what they define."""

from __future__ import annotations

import ast
import importlib.machinery
import importlib.util
import os
import sys
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from orchestrator import functions
from orchestrator.spec.words import did_you_mean, quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

_Function = ast.FunctionDef | ast.AsyncFunctionDef


class NotThere(Exception):
    """A module, or something in it, that is not there; the text is for the user."""


def find(name: str, root: str) -> Path | None:
    """Return the source file of module *name*, imported from *root*; None where it has none.

    Nothing is imported. Raises ``NotThere``.
    """
    top, *rest = name.split(".")
    spec = _find_top(top, root)
    if spec is None:
        near = did_you_mean(top, _names_in([root]))
        raise NotThere(f"no module {quote(top)} in {root} or among what is installed{near}")
    path = top
    for part in rest:
        folders = list(spec.submodule_search_locations or ())
        if not folders:
            raise NotThere(f"{quote(path)} is a module, not a package: it has no {quote(part)}")
        found = _find_part(f"{path}.{part}", folders)
        if found is None:
            near = did_you_mean(part, _names_in(folders))
            raise NotThere(f"no module {quote(part)} in package {quote(path)}{near}")
        spec, path = found, f"{path}.{part}"
    origin = spec.origin
    if spec.submodule_search_locations is not None and origin is None:
        return None  # a folder without __init__.py
    return Path(origin) if origin and origin.endswith(".py") else None


def _find_part(name: str, folders: list[str]) -> importlib.machinery.ModuleSpec | None:
    """Find a module in its package's *folders*."""
    try:
        return importlib.machinery.PathFinder.find_spec(name, folders)
    except KeyError:  # a folder without __init__.py in another: it asks for its parent, imported
        found = importlib.machinery.ModuleSpec(name, None, is_package=True)
        part = name.rpartition(".")[2]
        paths = (os.path.join(folder, part) for folder in folders)
        found.submodule_search_locations = [path for path in paths if os.path.isdir(path)]
        return found


def _find_top(top: str, root: str) -> importlib.machinery.ModuleSpec | None:
    own = importlib.machinery.PathFinder.find_spec(top, [root])
    if top in sys.stdlib_module_names:
        if own is not None:
            raise NotThere(
                f"{quote(top)} is a module of Python's own, which is found first; rename yours"
            )
        return importlib.util.find_spec(top)
    # where it is found while a run lasts; a folder without __init__.py may have several places
    found = importlib.machinery.PathFinder.find_spec(top, functions.path_with(root))
    try:
        return found or importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None


def _names_in(folders: list[str]) -> list[str]:
    names = []
    for folder in folders:
        try:
            names += [path.stem for path in Path(folder).iterdir()
                      if path.suffix == ".py" or path.is_dir()]  # fmt: skip
        except OSError:
            continue
    return names


@dataclass
class Outline:
    """What a module defines at its top: names, each with its node; *open*: maybe more."""

    names: dict[str, ast.AST] = field(default_factory=dict)
    open: bool = False


@lru_cache(maxsize=256)
def outline(path: Path) -> Outline:
    """Return the outline of the file at *path*. Raises ``NotThere`` where it is not Python."""
    try:
        tree = ast.parse(path.read_bytes(), str(path))
    except SyntaxError as error:
        raise NotThere(f"{path}:{error.lineno}: {error.msg}") from None
    except (OSError, ValueError, RecursionError, MemoryError) as error:
        raise NotThere(f"{path} cannot be read: {error}") from None
    found = Outline()
    for node in _statements(tree.body):
        _define(node, found)
    return found


def _define(node: ast.stmt, found: Outline) -> None:
    """Take into *found* what one statement defines."""
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            found.names[node.name] = node
            found.open |= node.name == "__getattr__"
        case ast.Import() | ast.ImportFrom():
            for alias in node.names:
                found.open |= alias.name == "*"
                found.names[alias.asname or alias.name.partition(".")[0]] = node
        case ast.Assign(targets=targets):
            for target in targets:
                plain = isinstance(target, ast.Name)
                names = (part.id for part in ast.walk(target) if isinstance(part, ast.Name))
                found.names.update(dict.fromkeys(names, node.value if plain else node))
        case ast.AnnAssign(target=ast.Name(id=name), value=value) if value is not None:
            found.names[name] = value
        case ast.For() | ast.With() | ast.While() | ast.Match():
            found.open = True
        case _:
            found.open |= _touches_globals(node)


def _touches_globals(node: ast.AST) -> bool:
    return any(
        isinstance(part, ast.Name) and part.id in ("globals", "setattr", "exec", "vars")
        for part in ast.walk(node)
    )


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    for node in body:
        yield node
        if isinstance(node, ast.If):
            yield from _statements(node.body + node.orelse)
        elif isinstance(node, ast.Try):
            inner = [*node.body, *node.orelse, *node.finalbody]
            yield from _statements(inner + [s for h in node.handlers for s in h.body])


@dataclass(frozen=True)
class Joined:
    """What queues make of a call: consumers get an iterator as first argument, publishers yield."""

    consumes: bool = False
    publishes: bool = False


ALONE = Joined()
FIRST = "the iterator over its queue is the first"


def check_function(
    reference: str, root: str, args: Any, kwargs: Any, joined: Joined = ALONE
) -> str | None:
    """Return what is wrong with calling *reference* so, as far as its text tells; else None.

    *args* and *kwargs* are lists and mappings, or anything else where they are not known yet.
    """
    module, _, path = reference.partition(":")
    names = path.split(".")
    try:
        file = find(module, root)
        if file is None:
            return None
        found = outline(file)
    except NotThere as error:
        return str(error)
    node = found.names.get(names[0])
    if node is None:
        if found.open:
            return None
        callables = [n for n, d in found.names.items() if isinstance(d, _Function | ast.ClassDef)]
        return f"module `{module}` has no {quote(names[0])}{did_you_mean(names[0], callables)}"
    if len(names) > 1:
        return _check_method(node, names)
    if isinstance(node, ast.Constant | ast.List | ast.Dict | ast.Set | ast.Tuple | ast.JoinedStr):
        return f"{quote(path)} of module `{module}` is not a function"
    if isinstance(node, _Function) and not node.decorator_list:
        said = _wrong_end(node, joined)
        return misfit(node, args, kwargs, joined) if said is None else said
    return None


def _wrong_end(function: _Function, joined: Joined) -> str | None:
    """Return why what *function* gives does not go with the task; None where it does."""
    gives = {type(node) for node in _own_nodes(function) if not _gives_nothing(node)}
    if not gives.isdisjoint((ast.Yield, ast.YieldFrom)):
        if joined.publishes:
            return None
        return f"{quote(function.name)} is a generator, and the task does not publish"
    if joined.publishes and ast.Return not in gives:
        return f"{quote(function.name)} yields nothing, and the task publishes"
    return None


def _gives_nothing(node: ast.AST) -> bool:
    """Tell whether *node* is a bare ``return``, or one of None."""
    if not isinstance(node, ast.Return):
        return False
    return node.value is None or (isinstance(node.value, ast.Constant) and node.value.value is None)


def _check_method(node: ast.AST, names: list[str]) -> str | None:
    if not isinstance(node, ast.ClassDef) or len(names) > 2 or node.bases:  # noqa: PLR2004
        return None
    inside = [d.name for d in node.body if isinstance(d, _Function)]
    others = {n.id for d in node.body for n in ast.walk(d) if isinstance(n, ast.Name)}
    if names[1] in inside or names[1] in others or "__getattr__" in inside:
        return None
    return f"class `{names[0]}` has no {quote(names[1])}{did_you_mean(names[1], inside)}"


def _own_nodes(function: _Function) -> Iterator[ast.AST]:
    """Yield the nodes of the body of *function*, without those of functions inside it."""
    stack: list[ast.AST] = list(function.body)
    while stack:
        node = stack.pop()
        yield node
        if not isinstance(node, _Function | ast.Lambda | ast.ClassDef):
            stack.extend(ast.iter_child_nodes(node))


def misfit(function: _Function, args: Any, kwargs: Any, joined: Joined = ALONE) -> str | None:
    """Return why arguments do not fit the signature of *function*; None where they do."""
    if not isinstance(args, list | tuple) or not isinstance(kwargs, dict):
        return None
    spec = function.args
    positional = [arg.arg for arg in spec.posonlyargs + spec.args]
    by_name = {arg.arg for arg in spec.args + spec.kwonlyargs}
    call = f"`{function.name}({', '.join(_parameters(spec))})`"
    given = len(args) + joined.consumes
    if given > len(positional) and spec.vararg is None:
        plural = "s" if given != 1 else ""
        note = f" ({FIRST})" if joined.consumes else ""
        return f"{given} argument{plural}{note}, and {call} takes {len(positional)}"
    for name in kwargs:
        if name in positional[:given] and name in by_name:
            if joined.consumes and name == positional[0]:
                return f"argument {quote(name)} stands in `kwargs`, and {FIRST}"
            return f"argument {quote(name)} is given twice, in `args` and in `kwargs`"
        if name not in by_name and spec.kwarg is None:
            return f"{call} has no argument {quote(name)}{did_you_mean(name, by_name)}"
    required = positional[given : len(positional) - len(spec.defaults)]
    required += [
        arg.arg
        for arg, default in zip(spec.kwonlyargs, spec.kw_defaults, strict=True)
        if default is None
    ]
    posonly = {arg.arg for arg in spec.posonlyargs}
    lacking = [name for name in required if name not in kwargs or name in posonly]
    if lacking:
        return f"{call} needs {', '.join(quote(name) for name in lacking)}"
    return None


def _parameters(spec: ast.arguments) -> list[str]:
    names = [arg.arg for arg in spec.posonlyargs + spec.args]
    if spec.vararg is not None:
        names.append(f"*{spec.vararg.arg}")
    elif spec.kwonlyargs:
        names.append("*")
    names += [arg.arg for arg in spec.kwonlyargs]
    if spec.kwarg is not None:
        names.append(f"**{spec.kwarg.arg}")
    return names
