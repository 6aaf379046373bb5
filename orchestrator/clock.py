"""The clock of a run: durations by the monotonic clock, wall time for display only."""

from __future__ import annotations

import time


class Clock:
    """Seconds since it was made; *started_at* is the wall time of that moment, since the epoch."""

    def __init__(self) -> None:
        self._zero = time.monotonic()
        self.started_at = time.time()

    def go_on_from(self, at: float) -> None:
        """Count on from *at*, where an earlier session of the run has ended."""
        self._zero -= at

    def now(self) -> float:
        """Return the seconds since the start."""
        return time.monotonic() - self._zero


def wall_text(moment: float) -> str:
    """Return *moment*, seconds since the epoch, as ISO 8601 in UTC, to the millisecond."""
    seconds, ms = divmod(int(moment * 1000), 1000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{ms:03d}Z"
