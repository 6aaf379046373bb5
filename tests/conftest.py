"""Fixtures for tests that drive the real orch."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.builder import Builder

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
