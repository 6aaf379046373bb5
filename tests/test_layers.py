"""Who may import whom: floors, and no cycle."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import orchestrator

PACKAGE = Path(orchestrator.__file__).parent
FLOORS = (
    ("errors", "records", "lean"),
    ("spec.models", "spec.durations", "spec.words", "events", "jsonio"),
    ("plan", "nodes", "room", "semaphores", "pipelines", "scheduler", "recovery"),
    (
        "spec.source", "spec.reading", "spec.validate",
        "modules", "probe", "checks", "facts", "journal", "clock",
        "drafts",
        "places", "finding", "procfs", "tender", "keeper", "guard", "digests", "descriptors",
        "poller", "queues", "warm", "current", "streams", "functions", "logs", "runners",
        "surroundings", "meter", "hazards", "inbox", "sampler", "pythons",
        "secrets",
    ),
    ("engine", "signals", "loading"),
    ("running", "report", "resuming", "advice"),
    ("api", "cli", "__main__"),
)  # fmt: skip
OUTSIDE = {
    "io", "logging", "os", "queue", "random", "signal", "socket", "structlog", "subprocess",
    "threading", "time",
}  # fmt: skip


def _modules() -> dict[str, Path]:
    """Return every module below ``orchestrator``, without that prefix."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts).removesuffix("__init__").removesuffix(".")] = path
    return found


MODULES = _modules()


def _nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """Walk *tree*, late imports too, but not what is for type checkers only."""
    yield tree
    for child in ast.iter_child_nodes(tree):
        if not (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"):
            yield from _nodes(child)


def _imports(module: str) -> Iterator[str]:
    """Yield the full names of what *module* imports, modules or names in them."""
    for node in _nodes(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _own_imports(module: str) -> set[str]:
    """Return the modules of orch that *module* imports; its root stands for the version only."""
    found = set()
    for name in _imports(module):
        inside = name.removeprefix("orchestrator.")
        if inside == name:
            continue
        found.add(inside if inside in MODULES else inside.rpartition(".")[0])
    return found - {""}


def _floor(module: str) -> int | None:
    for floor, names in enumerate(FLOORS):
        if any(module == name or module.startswith(f"{name}.") for name in names):
            return floor
    return None


def test_every_module_stands_on_a_floor() -> None:
    """A module that is on no floor could import anything."""
    empty = {"", "spec"}  # packages that only carry a docstring, or names on demand
    assert empty == {module for module in MODULES if _floor(module) is None}


def test_packages_without_a_floor_import_nothing() -> None:
    """What stands on no floor imports none of orch's modules."""
    assert (set(), set()) == (_own_imports(""), _own_imports("spec"))


@pytest.mark.parametrize("module", sorted(MODULES.keys() - {"", "spec"}))
def test_imports_go_down(module: str) -> None:
    """A module imports only from floors below it, or from its own floor."""
    high = {name for name in _own_imports(module) if (_floor(name) or 0) > (_floor(module) or 0)}
    assert set() == high


def test_no_import_cycle() -> None:
    """The modules can be put in an order; late imports count as well."""
    order = TopologicalSorter({module: _own_imports(module) for module in MODULES}).static_order()
    assert set(MODULES) == set(order)


@pytest.mark.parametrize("module", sorted(m for m in MODULES if (_floor(m) or 0) <= 2 and m))
def test_lower_floors_know_no_world(module: str) -> None:
    """Floors 0 to 2 import nothing that reads a clock, a disk, a stream or chance."""
    assert OUTSIDE.isdisjoint(name.partition(".")[0] for name in _imports(module))
