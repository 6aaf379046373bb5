"""What is known of one task, and what an attempt of it takes in each mode."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median, quantiles

from orchestrator.advice.crowd import PROCESS_S
from orchestrator.advice.replay import Load
from orchestrator.advice.shots import Shot
from orchestrator.events import Cost
from orchestrator.runners.threads import SWITCH_INTERVAL_S

_TAKEN = 0.5  # share of the GIL from which on functions are in each other's way
_APART = ("process", "interpreter")  # modes in which each attempt has imports of its own
_QUARTERED = 4  # samples from which on the spread is that of the middle half


@dataclass(slots=True)
class Known:
    """What is known of one task: shots by modes, from where, and the output of the newest run."""

    shots: dict[str, list[Shot]] = field(default_factory=dict)
    together: dict[str, float] = field(default_factory=dict)  # seconds of several at once
    copies: int = 1
    measured: bool = False
    runs: int = 0
    stale: int = 0  # runs of it as it was then: its code or its arguments were others
    chances: int = 0  # runs that came to their end, and in how many of those it was started
    starts: int = 0
    firsts: list[float] = field(default_factory=list)  # by runs: see ``import_s``
    first_s: float = 0.0  # what the first call in a Python took more than those after it
    failed: bool = False  # an attempt did
    trouble: str | None = None  # why it could not be measured

    @property
    def rests(self) -> bool:
        """Whether it usually has nothing to do: its condition says no, or nothing fails."""
        return self.starts * 2 < self.chances

    @property
    def import_s(self) -> float:
        """How long its module took to import, as far as runs tell."""
        if self.firsts:
            return median(self.firsts)
        apart = [shot for mode in _APART for shot in self.shots.get(mode, ())]
        return median(shot.cost.import_s or 0.0 for shot in apart) if apart else 0.0

    def load(self, mode: str, import_s: float | None = None) -> Load | None:
        """Return what an attempt in *mode* takes alone; None where nothing tells.

        *import_s* is what the import of its module takes, where that is known better.
        """
        own = self.shots.get(mode)
        if own:
            return _load(own, mode)
        if mode == "process" and self.shots.get("thread"):
            thread = _load(self.shots["thread"], "thread")
            more_s = PROCESS_S + (self.import_s if import_s is None else import_s)
            return Load(thread.seconds + more_s, thread.cpu, 0.0, thread.waits)
        apart = next((other for other in _APART if self.shots.get(other)), None)
        if apart is None:
            return None
        if mode != "thread":
            return _load(self.shots[apart], apart)
        inner_s = median(shot.cost.wall_s for shot in self.shots[apart])
        cpu_s = median(shot.cost.cpu_s or 0.0 for shot in self.shots[apart])
        waits = median(shot.cost.voluntary_switches or 0 for shot in self.shots[apart])
        cpu = min(1.0, cpu_s / inner_s) if inner_s > 0 else 0.0
        return Load(inner_s, cpu, cpu, waits)

    @property
    def spread(self) -> float:
        """By how much the attempts that are known differ from the middle one.

        At most; of many the half in the middle, or one that was disturbed would decide.
        """
        worst = 0.0
        for shots in self.shots.values():
            walls = sorted(shot.cost.wall_s for shot in shots)
            middle = median(walls)
            if len(walls) >= _QUARTERED:
                low, _, high = quantiles(walls, n=4)
            else:
                low, high = walls[0], walls[-1]
            if middle > 0:
                worst = max(worst, (high - low) / 2 / middle)
        return worst


def _load(shots: Sequence[Shot], mode: str) -> Load:
    """Return the load that *shots* in *mode* show."""
    seconds = median(_alone_s(shot, mode) for shot in shots)
    cpu_s = median(shot.cost.cpu_s or 0.0 for shot in shots)
    waits = median(_own_waits(shot) for shot in shots)
    cpu = min(1.0, cpu_s / seconds) if seconds > 0 else 0.0
    gil = median(_gil(shot.cost, cpu) for shot in shots) if mode == "thread" else 0.0
    return Load(seconds, cpu, gil, waits)


def _alone_s(shot: Shot, mode: str) -> float:
    """Return what the attempt would have taken alone; a thread without its imports."""
    startup_s = (shot.cost.startup_s or 0.0) if mode == "thread" else 0.0
    return max(shot.cost.wall_s, shot.seconds - startup_s) - shot.lost_s


def _own_waits(shot: Shot) -> float:
    """Return how often it waited for something else than its turn."""
    return max(0.0, (shot.cost.voluntary_switches or 0) - shot.lost_s / SWITCH_INTERVAL_S)


def _gil(cost: Cost, cpu: float) -> float:
    """Return the share of its time for which a function wants the GIL.

    Alone it was seen; beside others only that one of them had it; where neither is known it is
    taken for granted that who computes holds it.
    """
    if cost.gil_share is not None:
        return min(cost.gil_share, max(cpu, 0.0)) if cpu > 0 else 0.0
    if cost.gil_taken_share is not None:
        return cpu if cost.gil_taken_share >= _TAKEN else min(cpu, cost.gil_taken_share)
    return cpu
