"""What attempts waited for because of each other, by what was recorded of them.

Nothing tells it of a single function on a thread. But three things bound it: what it did not
compute, what the others computed meanwhile, and how often it was waiting at all: who waits for the
GIL wakes up once a switch interval to ask for it. Processes wait for the server that forks them,
all those that were launched before it was there.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate, pairwise

from orchestrator.advice.replay import HOG
from orchestrator.advice.shots import Shot
from orchestrator.runners.threads import SWITCH_INTERVAL_S

PROCESS_S = 0.01  # what a process adds where it was never tried: to be forked, to be read
_SLACK = 1.2  # a wake-up takes up to so many intervals where processors are busy


def told_apart(shots: Sequence[Shot]) -> list[Shot]:
    """Return *shots*, the thread attempts of one run, with what each of them lost to the others."""
    if len(shots) < 2:  # noqa: PLR2004 - nobody is in anybody's way
        return list(shots)
    computed = _Spent(shots, [shot.cost.cpu_s or 0.0 for shot in shots])
    told = [_that_lost(shot, computed) for shot in shots]
    hogs = [shot.cost.wall_s * _is_hog(shot) for shot in told]
    beside = _Spent(told, hogs)
    return [
        replace(shot, hogs=max(0.0, beside.between(*_span(shot)) - own_s) / shot.cost.wall_s)
        if shot.cost.wall_s > 0
        else shot
        for shot, own_s in zip(told, hogs, strict=True)
    ]


def served(shots: Sequence[Shot]) -> tuple[list[Shot], float]:
    """Return *shots*, the processes of one run, with what each waited for their server.

    And how long after the first launch the server was there.
    """
    if not shots:
        return [], 0.0
    owns = [(shot.cost.startup_s or 0.0) - (shot.cost.import_s or 0.0) for shot in shots]
    usual_s = min(PROCESS_S, *owns)
    launched = min(shot.started_at for shot in shots)
    begun = min(shot.started_at + own_s for shot, own_s in zip(shots, owns, strict=True))
    ready = max(launched, begun - usual_s)
    waited = [replace(shot, lost_s=max(0.0, ready - shot.started_at)) for shot in shots]
    return waited, ready - launched


def _is_hog(shot: Shot) -> bool:
    """Tell whether it computes all the time, or would without the others."""
    return (shot.cost.cpu_s or 0.0) > HOG * (shot.cost.wall_s - shot.lost_s)


def _that_lost(shot: Shot, computed: _Spent) -> Shot:
    cost = shot.cost
    cpu_s, waits = cost.cpu_s or 0.0, cost.voluntary_switches
    others_s = computed.between(*_span(shot)) - cpu_s
    bounds = [cost.wall_s - cpu_s, others_s]
    if waits is not None:
        bounds.append(waits * SWITCH_INTERVAL_S * _SLACK)
    lost_s = max(0.0, min(bounds))
    return replace(shot, lost_s=lost_s, lost_share=lost_s / others_s if lost_s else 0.0)


def _span(shot: Shot) -> tuple[float, float]:
    """Return from when to when the function itself ran."""
    return shot.ended_at - shot.cost.wall_s, shot.ended_at


class _Spent:
    """How many of its *seconds* each had spent by a moment, all together; at an even pace."""

    def __init__(self, shots: Sequence[Shot], seconds: Sequence[float]) -> None:
        changes: dict[float, float] = {}
        for shot, spent_s in zip(shots, seconds, strict=True):
            begin, end = _span(shot)
            if end > begin:
                pace = spent_s / (end - begin)
                changes[begin] = changes.get(begin, 0.0) + pace
                changes[end] = changes.get(end, 0.0) - pace
        self._times = sorted(changes)
        self._paces = list(accumulate(changes[time] for time in self._times))
        parts = [
            pace * (then - now)
            for pace, (now, then) in zip(self._paces, pairwise(self._times), strict=False)
        ]
        self._sums = list(accumulate(parts, initial=0.0))

    def between(self, begin: float, end: float) -> float:
        """Return the seconds of all of them from *begin* to *end*."""
        return self._by(end) - self._by(begin)

    def _by(self, moment: float) -> float:
        index = bisect_right(self._times, moment) - 1
        if index < 0:
            return 0.0
        return self._sums[index] + self._paces[index] * (moment - self._times[index])
