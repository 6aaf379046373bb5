"""Functions that the bad specs name."""

import functools
from collections.abc import Iterator

LIMIT = 5
made = int("5")


def plain() -> None:
    """Take nothing."""


def other() -> None:
    """Take nothing either."""


def one(value: object) -> object:
    """Take one argument."""
    return value


def add(first: int, second: int = 0, *, third: int = 0) -> int:
    """Take up to three arguments."""
    return first + second + third


def only(*, name: str) -> str:
    """Take an argument by name only."""
    return name


def stream() -> Iterator[int]:
    """Yield, without being a publisher."""
    yield 1


@functools.lru_cache
def wrapped() -> None:
    """Take nothing, which only an import can tell."""


class Box:
    """Has one method."""

    def open(self) -> None:
        """Take nothing."""


def collect(items: Iterator[int], limit: int = 0) -> int:
    """Consume; return what came, up to a limit."""
    return sum(items) + limit


def forward(items: Iterator[int]) -> Iterator[int]:
    """Consume and publish."""
    yield from items


def swallow(items: Iterator[int]) -> None:
    """Consume, and give nothing back."""
    for _ in items:
        return


@functools.lru_cache
def wrapped_two(items: Iterator[int], second: int) -> int:
    """Consume with one more argument, which only an import can tell."""
    return sum(items) + second
