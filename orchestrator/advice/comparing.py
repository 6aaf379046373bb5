"""``orch compare``: one task in every mode that fits it, side by side."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from orchestrator.advice.evidence import recorded
from orchestrator.advice.measure import Tried, copies, tried
from orchestrator.advice.modes import fitting
from orchestrator.advice.shots import Shot
from orchestrator.advice.trial import Trials, Way, its_turn, workshop
from orchestrator.errors import UsageError
from orchestrator.loading import Loaded, cpus
from orchestrator.plan.model import PlanTask
from orchestrator.pythons import has_interpreters
from orchestrator.spec.words import quote


@dataclass(frozen=True, slots=True)
class Measured:
    """One way to run a task: medians of attempts alone, and several at once.

    *seconds* are from the launch to the end, and *startup_s* of those until the work began.
    *at_once* of them took *together_s*; *lost* is the part of the parallelism that the machine has
    for them that was not had. None for what cannot be told.
    """

    way: Way
    seconds: float
    cpu_s: float | None
    startup_s: float | None
    peak_memory_bytes: int | None
    at_once: int
    together_s: float
    lost: float


def ways(task: PlanTask) -> list[Way]:
    """Return the ways in which *task*, as it is written, can be run."""
    if task.function is not None:
        modes = fitting(task)
        if has_interpreters() and "thread" in modes:  # what goes with the one goes with the other
            modes = (*modes, "interpreter")
        return [Way(mode) for mode in modes]
    if task.program is not None or task.module is not None:
        return [Way("subprocess"), Way("subprocess", "warm")]
    return [Way("subprocess")]


def compare(
    loaded: Loaded, state: str, task: PlanTask, times: int, say: Callable[[str], None]
) -> tuple[list[Measured], dict[Way, str]]:
    """Measure *task* in each way; return what each takes, and why it failed in the others.

    Raises ``TrialFailed`` where it failed in all of them, ``TemplateError``, ``UsageError``.
    """
    with its_turn(loaded.plan, state, "a measurement"), workshop(state) as folder:
        outputs = recorded(loaded, Path(state)).outputs
        trials = Trials(loaded, outputs, folder, say, asked_for=[task.name])
        calls = trials.calls(task)
        if not calls:
            raise UsageError(f"{quote(task.name)} has no items: there is nothing to run")
        kinds = ways(task)
        several = min(copies(loaded.plan, task, len(calls), way) for way in kinds)
        found = tried(trials, task, dict.fromkeys(kinds, several), calls, times, say)
        troubles = {way: one.trouble for way, one in found.items() if one.trouble is not None}
        if len(troubles) == len(found):
            raise next(iter(troubles.values()))
        measured = [_measured(way, one) for way, one in found.items() if way not in troubles]
        return measured, {way: trouble.why for way, trouble in troubles.items()}


def _measured(way: Way, one: Tried) -> Measured:
    usual = one.usual
    seconds = median(shot.seconds - shot.lost_s for shot in usual)
    together_s, at_once = seconds, 1
    if one.crowd is not None:
        together_s, at_once = one.crowd.seconds, round(one.crowd.copies)
    cpu_s = _median([shot.cost.cpu_s for shot in usual])
    # what computes shares the processors, what waits shares nothing
    busy = (cpu_s or 0.0) / seconds if seconds > 0 else 0.0
    best_s = seconds * max(1.0, at_once * busy / cpus())
    return Measured(
        way, seconds, cpu_s, _median([_startup_s(shot) for shot in usual]),
        max((s.cost.peak_memory_bytes for s in usual if s.cost.peak_memory_bytes), default=None),
        at_once, together_s, max(0.0, 1 - best_s / together_s) if together_s > 0 else 0.0,
    )  # fmt: skip


def _startup_s(shot: Shot) -> float | None:
    """Return how long it took until the work began, but for the start of what forked it."""
    return None if shot.cost.startup_s is None else max(0.0, shot.cost.startup_s - shot.lost_s)


def _median(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None
