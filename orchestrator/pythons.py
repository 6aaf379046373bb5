"""Which Python this is, as far as modes and what they take depend on it."""

from __future__ import annotations

import sys

INTERPRETERS_FROM = (3, 14)


def gil_is_on() -> bool:
    """Tell whether this Python has a GIL that is in use."""
    known = getattr(sys, "_is_gil_enabled", None)
    return True if known is None else bool(known())


def tag() -> str:
    """Return ``3.11``, or ``3.14t`` where there is no GIL.

    What was measured with one tells little of another.
    """
    major, minor = sys.version_info[:2]
    return f"{major}.{minor}" if gil_is_on() else f"{major}.{minor}t"


def has_interpreters() -> bool:
    """Tell whether there is a mode ``interpreter``."""
    return sys.version_info >= INTERPRETERS_FROM


def why_no_interpreters() -> str:
    """Return why there is none."""
    needed = ".".join(map(str, INTERPRETERS_FROM))
    found = ".".join(map(str, sys.version_info[:3]))
    return f"`interpreter` needs Python {needed} or later; this is {found}"
