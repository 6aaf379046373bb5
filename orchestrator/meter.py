"""What a function takes: read around its call, the same in every mode that has functions."""

from __future__ import annotations

import resource
import threading
from contextvars import ContextVar
from time import monotonic, process_time, thread_time

from orchestrator.events import Cost
from orchestrator.records import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_THREAD = getattr(resource, "RUSAGE_THREAD", resource.RUSAGE_SELF)
# Of a function that takes less, switches say nothing, and to ask costs as much as all the rest.
_QUICK_S = 0.0002
_IMPORT_S = 0.00005  # what looking up a function takes that is there already
_FEW = 5  # samples that say nothing


class Begun(NamedTuple):
    """What a process had taken when it began its call, *at* a moment by ``time.monotonic``."""

    at: float
    startup_s: float
    import_s: float | None
    cpu_s: float
    waits: int
    losses: int


class Meter:
    """Measures one call, on the thread that makes it, with the threads that this starts."""

    __slots__ = (
        "_alone", "_asked", "_begun", "_beside", "_cpu", "_cpu_time", "_helpers", "_launched",
        "_usage", "_who",
    )  # fmt: skip

    def __init__(self, launched: float, *, whole: bool = False) -> None:
        """Take note of when it was *launched*, by ``time.monotonic``.

        With *whole* the call has the process to itself, and all that this takes is the call's;
        without, of its threads those count that tell of their end.
        """
        self._launched, self._asked = launched, monotonic()
        self._who = resource.RUSAGE_SELF if whole else _THREAD
        self._cpu_time = process_time if whole else thread_time
        self._helpers: tuple[float, int, int] | None = None
        self._begun = self._cpu = 0.0
        self._usage: Any = None
        self._alone: _Samples | None = None
        self._beside: _Samples | None = None

    def until_here(self) -> Begun:
        """Return what the whole process has taken before the call, which is about to begin."""
        used, now = resource.getrusage(resource.RUSAGE_SELF), monotonic()
        import_s = now - self._asked if now - self._asked >= _IMPORT_S else None
        cpu_s = used.ru_utime + used.ru_stime
        return Begun(now, now - self._launched, import_s, cpu_s, used.ru_nvcsw, used.ru_nivcsw)

    def begins(self) -> None:
        """Take note that the function has been imported and is about to be called."""
        self._usage = resource.getrusage(self._who)
        self._begun, self._cpu = monotonic(), self._cpu_time()

    def helper_ends(self) -> None:
        """Take in what the calling thread has taken, which is about to end."""
        used = resource.getrusage(_THREAD)
        with _adding:
            cpu_s, waits, losses = self._helpers or (0.0, 0, 0)
            waits, losses = waits + used.ru_nvcsw, losses + used.ru_nivcsw
            self._helpers = cpu_s + thread_time(), waits, losses

    def cost(self) -> Cost | None:
        """Return what the call took until now; None where it was not begun."""
        begun = self._begun
        if not begun:
            return None
        cpu_s, wall_s = self._cpu_time() - self._cpu, monotonic() - begun
        startup_s = begun - self._launched
        import_s = begun - self._asked if begun - self._asked >= _IMPORT_S else None
        if wall_s < _QUICK_S:  # most are; written out, which is what is fastest
            known = wall_s, cpu_s, startup_s, import_s, None, None, None, None, None, None, None
            return Cost._make(known)
        before, now = self._usage, resource.getrusage(self._who)
        waits, losses = now.ru_nvcsw - before.ru_nvcsw, now.ru_nivcsw - before.ru_nivcsw
        if self._helpers is not None:
            more_s, more_waits, more_losses = self._helpers
            cpu_s, waits, losses = cpu_s + more_s, waits + more_waits, losses + more_losses
        alone, beside = self._alone, self._beside
        held = alone.said() if alone is not None else (None, None)
        taken = beside.said()[0] if beside is not None else None
        return Cost._make((
            wall_s, cpu_s, startup_s, import_s, waits, losses, None, *held, taken, None,
        ))  # fmt: skip

    def sampled(self, late_s: float, span_s: float, *, alone: bool) -> None:
        """Take note that the GIL was waited for *late_s*, in a sample of *span_s*."""
        samples = self._alone if alone else self._beside
        if samples is None:
            samples = _Samples()
            if alone:
                self._alone = samples
            else:
                self._beside = samples
        samples.add(late_s, span_s)


_adding = threading.Lock()
# That of the attempt which a thread belongs to; nothing on threads that are no attempt's.
meter_of_context: ContextVar[Meter | None] = ContextVar("orch_meter", default=None)


class _Samples:
    """Samples of one kind; one that was long stands for those that there was no time for."""

    __slots__ = ("_count", "_held", "_longest_s")

    def __init__(self) -> None:
        self._count = self._held = self._longest_s = 0.0

    def add(self, late_s: float, span_s: float) -> None:
        weight = 1 + late_s / span_s
        self._count += weight
        if late_s:
            self._held += weight
            self._longest_s = max(self._longest_s, late_s)

    def said(self) -> tuple[float | None, float | None]:
        """Return the share of the time that the GIL was held, and the longest hold."""
        if self._count < _FEW:
            return None, None
        return self._held / self._count, self._longest_s


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


def of_cut_off(begun: Begun | None, ended: float, whole: Cost) -> Cost:
    """Return what a function took whose process *ended* before it did.

    *begun* is what that had said when it began the call; None where it did not come so far: then
    the function took nothing. *whole* is what the process took.
    """
    if begun is None:
        return Cost(0.0)
    cost = Cost(max(0.0, ended - begun.at), None, begun.startup_s, begun.import_s)
    if whole.cpu_s is None or whole.voluntary_switches is None:
        return cost
    assert whole.involuntary_switches is not None
    return cost._replace(
        cpu_s=max(0.0, whole.cpu_s - begun.cpu_s),
        voluntary_switches=max(0, whole.voluntary_switches - begun.waits),
        involuntary_switches=max(0, whole.involuntary_switches - begun.losses),
    )
