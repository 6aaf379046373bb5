"""Why a mode is advised, in words, and how sure that is."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median

from orchestrator.advice.known import Crowd, Known
from orchestrator.advice.replay import Load
from orchestrator.plan.model import PlanTask
from orchestrator.spec.durations import show_finely

WORTH = 0.01  # of the job's time, from which on another mode is advised
WORTH_S = 0.005
_MOSTLY = 0.5
_NOTHING_S = 0.001
_SHORT_S = 0.02
_SPREAD = 0.15
_LESS_SURE = {"high": "medium", "medium": "low"}


class Reasons:
    """Words about one task that something is known of; *load* is what an attempt of it takes."""

    def __init__(self, task: PlanTask, known: Known, load: Load, *, gil: bool) -> None:
        self._task, self._known, self._load, self._gil = task, known, load, gil
        self._thread = known.shots.get("thread") or []

    def words(self, advised: str, seconds: Mapping[str, float], *, starts_one: bool) -> str:
        """Return why the mode *advised* is; *starts_one*: the function starts a program."""
        task, known, load = self._task, self._known, self._load
        words = ["takes less than 1 ms"]
        if load.seconds >= _NOTHING_S:
            words = [f"CPU {load.cpu:.0%} of {show_finely(load.seconds)}"]
        words += self._of_gil()
        if starts_one and load.seconds >= _NOTHING_S and load.cpu < _MOSTLY:
            words.append("it waits for a program that it starts: that could be a task of its own")
        words += [f"as `{mode}` it {why}" for mode, why in known.barred.items()]
        if known.holds_long:
            longest = median(shot.cost.gil_longest_s or 0.0 for shot in self._thread)
            words.append(f"holds it for {show_finely(longest)} at a time, and orch with it")
        if load.seconds >= _NOTHING_S or advised != task.mode:
            words += [_of_several(known.together)] if known.together else []
            words += [_of_the_job(seconds, task.mode)] if len(seconds) > 1 else []
        if advised == "thread" != task.mode and task.timeout_s is not None:
            words.append("it cannot be killed at its timeout then")
        if load.cpu > _MOSTLY and task.mode == advised == "thread" and not self._gil:
            words.append("this Python has no GIL")
        return ", ".join(words)

    def _of_gil(self) -> list[str]:
        """Return what was seen of the GIL."""
        if not self._gil:
            return []
        if any(shot.cost.gil_share is not None for shot in self._thread):
            return [f"GIL held {self._load.gil:.0%}"]
        costs = [shot.cost for shot in self._thread]
        taken = [cost.gil_taken_share for cost in costs if cost.gil_taken_share is not None]
        if taken and median(taken) >= _MOSTLY:
            return [f"beside others the GIL was taken {median(taken):.0%}"]
        return []

    def confidence(self, *, explained: bool) -> str:
        """Return how sure the advice is: low for what is short, or differs from run to run.

        It is less so where what is known of the tasks does not explain what runs took.
        """
        if self._known.measured and self._task.mode in self._known.barred:
            return "high"
        found = self._of_samples()
        return found if explained else _LESS_SURE.get(found, found)

    def _of_samples(self) -> str:
        known = self._known
        if self._load.seconds < _SHORT_S or known.spread > 2 * _SPREAD:
            return "low"
        if known.measured:
            return "high" if known.spread <= _SPREAD else "medium"
        seen = any(
            share is not None
            for shot in self._thread
            for share in (shot.cost.gil_share, shot.cost.gil_taken_share)
        )
        return "medium" if seen or len(known.shots) > 1 else "low"


def why_unknown(known: Known) -> str:
    """Return why nothing can be said of a task."""
    if known.trouble is not None:
        return f"it was not measured: {known.trouble}"
    if known.failures:
        return "it has not succeeded yet"
    if known.cut_off:
        return "it was under way when the run was cut off: use --measure"
    if known.runs:
        return "it had nothing to do when the job was run"
    if known.stale:
        return "it has changed since it was run: run the job, or use --measure"
    return "it was never run: run the job, or use --measure"


def _of_several(together: Mapping[str, Crowd]) -> str:
    """Return what several at once were seen to take."""
    parts, before = [], 0.0
    for mode, crowd in together.items():
        count = f"{crowd.copies:.0f} at once {'take ' * (not before)}"
        parts.append(f"{count * (crowd.copies != before)}{show_finely(crowd.seconds)} as `{mode}`")
        before = crowd.copies
    return ", ".join(parts)


def _of_the_job(seconds: Mapping[str, float], mode: str) -> str:
    """Return what the job takes with the task in its *mode*, and in the others."""
    now_s = seconds[mode]
    others = {other: then_s for other, then_s in seconds.items() if other != mode}
    if all(abs(now_s - then_s) < max(WORTH * now_s, WORTH_S) for then_s in others.values()):
        return f"the job {show_finely(now_s)} either way"
    parts = [f"as `{other}` {show_finely(then_s)}" for other, then_s in others.items()]
    return f"the job {show_finely(now_s)}, {', '.join(parts)}"
