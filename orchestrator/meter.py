"""What a function takes: read around its call, the same on a thread and in a process of its own."""

from __future__ import annotations

import resource
from time import monotonic, thread_time

from orchestrator.events import Cost

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_WHO = getattr(resource, "RUSAGE_THREAD", resource.RUSAGE_SELF)
# Of a function that takes less, switches say nothing, and to ask costs as much as all the rest.
_QUICK_S = 0.0002
_IMPORT_S = 0.00005  # what looking up a function takes that is there already
_UNKNOWN = (None, None, None, None)


class Meter:
    """Measures one call, on the thread that makes it."""

    __slots__ = ("_asked", "_begun", "_cpu", "_launched", "_usage")

    def __init__(self, launched: float) -> None:
        """Take note of when it was *launched*, by ``time.monotonic``."""
        self._launched, self._asked = launched, monotonic()
        self._begun = self._cpu = 0.0
        self._usage: Any = None

    def begins(self) -> None:
        """Take note that the function has been imported and is about to be called."""
        self._usage = resource.getrusage(_WHO)
        self._begun, self._cpu = monotonic(), thread_time()

    def cost(self) -> Cost | None:
        """Return what the call took until now; None where it was not begun."""
        begun = self._begun
        if not begun:
            return None
        cpu_s, wall_s = thread_time() - self._cpu, monotonic() - begun
        import_s: float | None = begun - self._asked
        if import_s is not None and import_s < _IMPORT_S:
            import_s = None
        known = (wall_s, cpu_s, begun - self._launched, import_s)
        if wall_s < _QUICK_S:
            return Cost._make((*known, *_UNKNOWN))
        before, now = self._usage, resource.getrusage(_WHO)
        switches = now.ru_nvcsw - before.ru_nvcsw, now.ru_nivcsw - before.ru_nivcsw
        return Cost._make((*known, *switches, None, None))


def of_program(wall_s: float, usage: Any, *, forked: bool) -> Cost:
    """Return what a program took: *usage* is what ``os.wait4`` tells of it, None where it is lost.

    What this process holds counts as its peak, too, unless it was *forked* elsewhere: until it has
    replaced itself by the program, a child shares this process's memory.
    """
    if usage is None:
        return Cost(wall_s)
    cpu_s, peak_kib, waits, losses = usage
    own_kib = 0 if forked else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peak = peak_kib * 1024 if peak_kib > own_kib else None
    return Cost(wall_s, cpu_s, None, None, waits, losses, peak)
