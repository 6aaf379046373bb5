"""The clock of a run: durations by the monotonic clock, wall time for display only."""

import time
from datetime import UTC, datetime


class Clock:
    """Seconds since it was made; *started_at* is the wall time of that moment."""

    def __init__(self) -> None:
        self._zero = time.monotonic()
        self.started_at = datetime.now(UTC)

    def go_on_from(self, at: float) -> None:
        """Count on from *at*, where an earlier session of the run has ended."""
        self._zero -= at

    def now(self) -> float:
        """Return the seconds since the start."""
        return time.monotonic() - self._zero


def wall_text(moment: datetime) -> str:
    """Return *moment* as ISO 8601 in UTC, to the millisecond."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
