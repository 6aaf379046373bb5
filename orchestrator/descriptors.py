"""Descriptors of orch's own, which a child that a task forks must not hold open.

A function on a thread may fork (``multiprocessing`` does). Its child has all descriptors of orch:
with the writing end of a program's stdin among them that program would wait for an end that does
not come, with a lock the run would seem to be under way for as long as the child lives.
"""

import os
from contextlib import suppress

_open: set[int] = set()


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
