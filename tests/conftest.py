"""Fixtures for tests that drive the real orch, and the table of what it promises."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.pythons import has_interpreters
from tests.builder import Builder
from tests.faults.promises import PROMISES, table

collect_ignore = [] if has_interpreters() else ["test_interpreters.py"]

for _number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
    # a shell's `&` and nohup leave these ignored, and orch would obey
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, signal.default_int_handler)


def _building(folder: Path) -> Iterator[Builder]:
    builder = Builder(folder)
    try:
        yield builder
    finally:
        builder.close()
        left = builder.left_over()
    assert not left


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Builder]:
    """Give a builder in a folder of its own; no process of its runs may be left in the end."""
    yield from _building(tmp_path)


@pytest.fixture(scope="module")
def shared_job(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Builder]:
    """Give a builder that the tests of one module share: one run, looked at by many."""
    yield from _building(tmp_path_factory.mktemp("shared"))


# Promises: ``pytest --promises`` runs their tests and prints how many faults were survived.


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--promises``."""
    parser.addoption(
        "--promises", action="store_true", help="run only what shows a promise; print the table"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Note in each test's report which promises it shows."""
    for item in items:
        numbers = [number for mark in item.iter_markers("promise") for number in mark.args]
        item.user_properties += [("promise", number) for number in sorted(set(numbers))]
    if config.getoption("--promises"):
        others = [item for item in items if not item.user_properties]
        items[:] = [item for item in items if item.user_properties]
        config.hook.pytest_deselected(items=others)


@pytest.fixture
def faults(record_property: Callable[[str, object], None]) -> Callable[[int, int], None]:
    """Give what notes how many faults one test has tried, and how many were survived."""

    def note(tried: int, survived: int) -> None:
        record_property("faults", (tried, survived))

    return note


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print the table, where it was asked for, and at the end of the whole suite."""
    results: dict[int, list[tuple[str, int, int]]] = {}
    for outcome in ("passed", "failed", "error", "xfailed"):
        for report in terminalreporter.stats.get(outcome, ()):
            if getattr(report, "when", "collect") != "call" and outcome != "error":
                continue
            noted = dict(getattr(report, "user_properties", ()))  # none where nothing was collected
            tried, survived = noted.get("faults", (1, 1))
            name = report.nodeid.partition("[")[0].rpartition("/")[2]
            survived = survived if outcome == "passed" else min(survived, tried - 1)
            for key, value in getattr(report, "user_properties", ()):
                if key == "promise":
                    results.setdefault(value, []).append((name, tried, survived))
    if not (config.getoption("--promises") or results.keys() == PROMISES.keys()):
        return
    terminalreporter.section("promises")
    for line in table(results):
        terminalreporter.line(line)
