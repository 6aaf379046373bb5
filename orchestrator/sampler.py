"""How much of the time the GIL is held, as the loop sees it: it wakes up, and has to wait for it.

A thread that sleeps until a moment goes on later by as long as it waits for a processor, which the
kernel tells (``/proc/thread-self/schedstat``), and for the GIL, which is the rest.
"""

from __future__ import annotations

import os
from time import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from orchestrator.inbox import Inbox
    from orchestrator.runners.threads import ThreadRunner

SAMPLE_S = 0.02
_LATE_S = 0.0005  # more than a timer's slack, and less than a turn with the GIL


class Sampler:
    """Samples for the attempts of a runner; to be used by one thread."""

    def __init__(self, threads: ThreadRunner, sample_s: float = SAMPLE_S) -> None:
        self._threads, self._sample_s = threads, sample_s
        self._schedstat: int | None = None  # that of the thread which samples, once it does

    def wait(self, inbox: Inbox) -> bool:
        """Wait for a call, as long as a sample takes; tell whether there was one."""
        before = self._threads.scene()
        queued_s, due = self._queued_s(), monotonic() + self._sample_s
        if inbox.wait(self._sample_s):
            return True
        late_s = monotonic() - due - (self._queued_s() - queued_s)
        self._threads.sampled(late_s if late_s > _LATE_S else 0.0, self._sample_s, before)
        return False

    def _queued_s(self) -> float:
        """Return for how long this thread has waited for a processor so far."""
        if self._schedstat is None:
            try:
                self._schedstat = os.open("/proc/thread-self/schedstat", os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                self._schedstat = -1
        if self._schedstat < 0:
            return 0.0
        return int(os.pread(self._schedstat, 64, 0).split()[1]) / 1e9

    def close(self) -> None:
        """Give the descriptor back."""
        if self._schedstat is not None and self._schedstat >= 0:
            os.close(self._schedstat)
            self._schedstat = None
