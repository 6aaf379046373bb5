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
