"""Descriptors of orch's own, which a child that a task forks must not hold open.

A function on a thread may fork (``multiprocessing`` does). Its child has all descriptors of orch:
with the writing end of a program's stdin among them that program would wait for an end that does
not come, with a lock the run would seem to be under way for as long as the child lives.
"""

from __future__ import annotations

import os
from contextlib import suppress

_open: set[int] = set()
_are_ours_alone = False


def take_over() -> None:
    """Have what this process was started with closed in all that it starts.

    What Python opens is so from the beginning; as long as no code of others runs in here, nothing
    else is open.
    """
    global _are_ours_alone  # noqa: PLW0603 - one process, one table of descriptors
    try:
        numbers = os.listdir("/proc/self/fd")
    except OSError:  # not Linux
        return
    for number in map(int, numbers):
        if number > 2:  # noqa: PLR2004 - not the standard streams
            with suppress(OSError):  # that of the directory, which is closed by now
                os.set_inheritable(number, False)
    _are_ours_alone = True


def share() -> None:
    """Say that code of others runs in this process from here on."""
    global _are_ours_alone  # noqa: PLW0603 - one process, one table of descriptors
    _are_ours_alone = False


def are_ours_alone() -> bool:
    """Tell whether every descriptor but the standard streams is closed in what is started."""
    return _are_ours_alone


def hold(descriptor: int) -> int:
    """Take note of *descriptor*, and return it."""
    _open.add(descriptor)
    return descriptor


def close(descriptor: int) -> None:
    """Close *descriptor*, which was held."""
    _open.discard(descriptor)
    os.close(descriptor)


def _close_in_child() -> None:
    while _open:
        with suppress(OSError):
            os.close(_open.pop())


os.register_at_fork(after_in_child=_close_in_child)
