"""What is known of one task, and what an attempt of it takes in each mode."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean, median, quantiles
from typing import NamedTuple

from orchestrator.advice.crowd import PROCESS_S
from orchestrator.advice.replay import Load
from orchestrator.advice.shots import Shot
from orchestrator.events import Ended
from orchestrator.runners.threads import SWITCH_INTERVAL_S

_TAKEN = 0.5  # share of the GIL from which on functions are in each other's way
_LONG_HOLD_S = 0.05
_APART = ("process", "interpreter")  # modes in which each attempt has imports of its own
_QUARTERED = 4  # samples from which on the spread is that of the middle half
_MOST_ITEMS = 200  # that are told apart
_CRASHES = {  # what a thread would have done instead, by the error of the process
    "ExitStatus": "would take orch along",
    "Signal": "would take orch along",
    "Timeout": "could not be killed",
}
_DIFFER = 1.5  # by so much the largest item is more than the smallest, or they are alike


class Crowd(NamedTuple):
    """Several at once: *seconds* that they took, which is *share* of what they take one by one.

    And *slower* times what the longest of them takes alone. *copies* is how many they were.
    """

    seconds: float
    share: float
    slower: float
    copies: float


@dataclass(slots=True)
class Known:
    """What is known of one task: shots and crowds by modes, and from where."""

    shots: dict[str, list[Shot]] = field(default_factory=dict)
    together: dict[str, Crowd] = field(default_factory=dict)
    measured: bool = False
    runs: int = 0
    stale: int = 0  # runs of it as it was then: its code or its arguments were others
    chances: int = 0  # runs that came to their end, and in how many of those it was started
    starts: int = 0
    firsts: list[float] = field(default_factory=list)  # by runs: see ``import_s``
    first_s: float = 0.0  # what the first call in a Python took more than those after it
    failures: dict[str, str] = field(default_factory=dict)  # what an attempt said, by modes
    cut_off: bool = False  # an attempt never came to its end
    crash: str | None = None  # what would have been if the process that crashed were a thread
    trouble: str | None = None  # why it could not be measured
    barred: dict[str, str] = field(default_factory=dict)  # modes in which it fails, and how

    def has_failed(self, mode: str, ended: Ended) -> None:
        """Take in that an attempt did."""
        error = ended.error
        said = ended.outcome if error is None else f"{error.type}: {error.message}"
        self.failures.setdefault(mode, said.splitlines()[0])
        if mode == "process" and error is not None and error.type in _CRASHES:
            self.crash = f"{_CRASHES[error.type]}: {error.message.splitlines()[0]}"

    def bar_failures(self) -> None:
        """Bar the modes in which it never did anything but fail, and threads where it crashes."""
        if not self.shots:
            return
        for mode, said in self.failures.items():
            if not self.shots.get(mode):
                self.barred[mode] = f"failed: {said}"
        if self.crash is not None:
            self.barred["thread"] = self.crash

    @property
    def rests(self) -> bool:
        """Whether it usually has nothing to do: its condition says no, or nothing fails."""
        return self.starts * 2 < self.chances

    @property
    def holds_long(self) -> bool:
        """Whether as a thread the function keeps orch itself from going on."""
        longest = [shot.cost.gil_longest_s or 0.0 for shot in self.shots.get("thread", ())]
        return bool(longest) and median(longest) > _LONG_HOLD_S

    @property
    def import_s(self) -> float:
        """How long its module took to import, as far as runs tell."""
        if self.firsts:
            return median(self.firsts)
        apart = [shot for mode in _APART for shot in self.shots.get(mode, ())]
        return median(shot.cost.import_s or 0.0 for shot in apart) if apart else 0.0

    def loads(self, mode: str, import_s: float | None = None) -> dict[int | None, Load]:
        """Return what an attempt in *mode* takes alone, by items where they differ; maybe nothing.

        *import_s* is what the import of its module takes, where that is known better.
        """
        source = self._source(mode)
        if source is None:
            return {}
        first_s = self.import_s if import_s is None else import_s
        return {
            item: _load_in(mode, source, shots, first_s)
            for item, shots in _told_apart(self.shots[source]).items()
        }

    def load(self, mode: str) -> Load | None:
        """Return what an attempt in *mode* takes alone, on average; None where nothing tells."""
        each = list(self.loads(mode).values())
        if not each:
            return None
        shares = (fmean(getattr(load, name) for load in each) for name in ("cpu", "gil", "waits"))
        return Load(fmean(load.seconds for load in each), *shares)

    def _source(self, mode: str) -> str | None:
        """Return the mode whose shots tell of *mode*."""
        others = ("thread", *_APART) if mode == "process" else _APART
        return next((other for other in (mode, *others) if self.shots.get(other)), None)

    @property
    def spread(self) -> float:
        """By how much attempts with the same item differ from the middle one.

        At most; of many the half in the middle, or one that was disturbed would decide.
        """
        worst = 0.0
        for shots in self.shots.values():
            groups = list(_told_apart(shots).values())
            if all(len(same) == 1 for same in groups):
                groups = [shots]
            parts = [
                shot.cost.wall_s / middle
                for same in groups
                if (middle := median(shot.cost.wall_s for shot in same)) > 0 and len(same) > 1
                for shot in same
            ]
            if len(parts) >= _QUARTERED:
                low, _, high = quantiles(parts, n=4)
            else:
                low, high = min(parts, default=1.0), max(parts, default=1.0)
            worst = max(worst, (high - low) / 2)
        return worst


def _told_apart(shots: Sequence[Shot]) -> dict[int | None, Sequence[Shot]]:
    """Return *shots* by their items, or all as one where those are alike.

    Of very many items some, from all over the list.
    """
    found: dict[int | None, Sequence[Shot]] = {}
    by_item: dict[int | None, list[Shot]] = {}
    for shot in shots:
        by_item.setdefault(shot.item, []).append(shot)
    took = [median(shot.cost.wall_s for shot in same) for same in by_item.values()]
    if len(by_item) == 1 or max(took) <= min(took) * _DIFFER:
        return {None: shots}
    found.update(by_item)
    if len(found) <= _MOST_ITEMS:
        return found
    items = sorted(item for item in found if item is not None)
    some = (items[i * len(items) // _MOST_ITEMS] for i in range(_MOST_ITEMS))
    return {item: found[item] for item in some}


def _load_in(mode: str, source: str, shots: Sequence[Shot], import_s: float) -> Load:
    """Return the load in *mode* that *shots* show, which were made in the mode *source*."""
    if source == mode:
        return _load(shots, mode)
    if source == "thread":
        thread = _load(shots, source)
        return Load(thread.seconds + PROCESS_S + import_s, thread.cpu, 0.0, thread.waits)
    if mode != "thread":
        return _load(shots, source)
    inner_s = median(shot.cost.wall_s for shot in shots)
    cpu_s = median(shot.cost.cpu_s or 0.0 for shot in shots)
    waits = median(shot.cost.voluntary_switches or 0 for shot in shots)
    cpu = cpu_s / inner_s if inner_s > 0 else 0.0
    return Load(inner_s, cpu, min(1.0, cpu), waits)


def _load(shots: Sequence[Shot], mode: str) -> Load:
    """Return the load that *shots* in *mode* show."""
    seconds = median(_alone_s(shot, mode) for shot in shots)
    cpu_s = median(shot.cost.cpu_s or 0.0 for shot in shots)
    waits = median(_own_waits(shot) for shot in shots)
    cpu = cpu_s / seconds if seconds > 0 else 0.0
    gil = median(_gil(shot, cpu) for shot in shots) if mode == "thread" else 0.0
    return Load(seconds, cpu, gil, waits)


def _alone_s(shot: Shot, mode: str) -> float:
    """Return what the attempt would have taken alone; a thread without its imports."""
    startup_s = (shot.cost.startup_s or 0.0) if mode == "thread" else 0.0
    return max(shot.cost.wall_s, shot.seconds - startup_s) - shot.lost_s


def _own_waits(shot: Shot) -> float:
    """Return how often it waited for something else than its turn.

    After each such wait those who compute beside it make it late, by a turn each; it cannot have
    been late for longer than it lost.
    """
    lost = shot.lost_s / SWITCH_INTERVAL_S
    waits = max(0.0, (shot.cost.voluntary_switches or 0) - lost)
    return min(waits, lost / shot.hogs) if shot.hogs > 0 else waits


def _gil(shot: Shot, cpu: float) -> float:
    """Return the share of its time for which a function wants the GIL.

    Alone it was seen; beside others only that one of them had it, which samples miss where turns
    are short, and how long it had to wait while those computed. Where nothing is known it is taken
    for granted that who computes holds it.
    """
    cost = shot.cost
    if cost.gil_share is not None:
        return min(cost.gil_share, cpu)
    if cost.gil_taken_share is not None:
        held = max(cost.gil_taken_share, shot.lost_share) >= _TAKEN
        return min(1.0, cpu) if held else min(cpu, cost.gil_taken_share)
    return min(1.0, cpu)
