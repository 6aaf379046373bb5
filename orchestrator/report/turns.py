"""Functions that took turns on the GIL in a run: whether that is worth a line of advice."""

from __future__ import annotations

from orchestrator.events import Ended
from orchestrator.runners.threads import SWITCH_INTERVAL_S

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from orchestrator.running import Run

_TURNS = 0.2  # of its time, from which on an attempt took turns
_MOST = 2_500  # attempts of a run that is looked at without having been asked
WORTH = 0.1  # of the run, from which on it is told


class Turns:
    """Watches for functions on threads that were in each other's way."""

    tick_s: float | None = None

    def __init__(self) -> None:
        self._lost_s = 0.0
        self._attempts = 0

    def told(self, events: Sequence[Any]) -> None:
        """Take note of what attempts on threads waited for while others had the GIL."""
        for event in events:
            if event.__class__ is not Ended or event.cost is None:
                continue
            cost = event.cost
            if not cost.gil_taken_share or not cost.voluntary_switches:
                continue
            # who waits for the GIL wakes up once an interval to ask for it
            at_most_s = cost.voluntary_switches * SWITCH_INTERVAL_S
            lost_s = min(at_most_s, cost.wall_s - (cost.cpu_s or 0.0))
            if lost_s > _TURNS * cost.wall_s:
                self._attempts += 1
                self._lost_s += lost_s

    def tick(self) -> None:
        """Nothing to do while nothing happens."""

    def advice(self, run: Run) -> str | None:
        """Return the line; None where it would not be worth it."""
        took_s = run.scheduler.now
        if self._attempts < 2 or self._lost_s < WORTH * took_s:  # noqa: PLR2004 - turns take two
            return None
        if len(run.scheduler.nodes) > _MOST:
            return None
        from orchestrator.advice import advising  # noqa: PLC0415 - for runs that it is worth it

        found = advising.of_run(run.loaded, run.path)
        changes = [one for one in found.tasks.values() if one.advised != one.mode == "thread"]
        if not changes or found.now_s is None or found.advised_s is None:
            return None
        saved_s = found.now_s - found.advised_s
        if saved_s < WORTH * took_s:
            return None
        return advising.line(changes, self._attempts, saved_s, run.loaded, run.folder.state)
