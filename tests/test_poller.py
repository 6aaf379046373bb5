"""The one thread that waits for everything outside."""

import os
import threading
from collections.abc import Iterator
from queue import SimpleQueue

import pytest

from orchestrator.poller import READ, Poller
from tests.builder import TIMEOUT_S


@pytest.fixture
def told() -> "SimpleQueue[object]":
    """Return a queue for what is called, and for what fails."""
    return SimpleQueue()


@pytest.fixture
def poller(told: "SimpleQueue[object]") -> Iterator[Poller]:
    """Return a poller that tells of failures."""
    made = Poller(told.put)
    yield made
    made.close()


def test_calls_come_in_order(poller: Poller, told: "SimpleQueue[object]") -> None:
    """What is called from anywhere runs on one thread, in order, also what is called there."""
    poller.call(lambda: told.put(1))
    poller.call(lambda: poller.call(lambda: told.put(threading.current_thread().name)))
    assert [told.get(timeout=TIMEOUT_S) for _ in range(2)] == [1, "orch-poller"]


def test_removed_while_it_was_ready(poller: Poller, told: "SimpleQueue[object]") -> None:
    """What another took away in the same turn is not called any more."""
    pipes = [os.pipe() for _ in range(2)]

    def ready(other: int) -> None:
        told.put("ready")
        poller.remove(other)
        for read, _ in pipes:
            poller.remove(read)

    def begin() -> None:
        for index, (read, write) in enumerate(pipes):
            os.write(write, b"x")
            other = pipes[1 - index][0]
            poller.add(read, READ, lambda other=other: ready(other))  # type: ignore[misc]
        poller.call_later(0.01, lambda: told.put("later"))

    poller.call(begin)
    assert [told.get(timeout=TIMEOUT_S) for _ in range(2)] == ["ready", "later"]
    for ends in pipes:
        for descriptor in ends:
            os.close(descriptor)


def test_failure_is_told(poller: Poller, told: "SimpleQueue[object]") -> None:
    """A bug in what is called is told, and the others go on."""
    error = ValueError("a bug")

    def fail() -> None:
        raise error

    poller.call(fail)
    poller.call(lambda: told.put("on"))
    assert [told.get(timeout=TIMEOUT_S) for _ in range(2)] == [error, "on"]
