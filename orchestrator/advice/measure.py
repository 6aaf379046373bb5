"""Measuring: each function alone, then several at once, in each mode that it can have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import cycle, islice
from statistics import median

from orchestrator.advice.evidence import Evidence, Known, modes_of
from orchestrator.advice.trial import THREAD, Shot, TrialFailed, Trials, Way
from orchestrator.errors import TemplateError
from orchestrator.plan.model import Plan, PlanTask

_LONG_S = 2.0  # what takes so long is not run more than once alone
_SHORT_S = 0.05  # and what takes so little more often: it disturbs, and is disturbed, more
_MOST_COPIES = 8


def measurable(plan: Plan) -> list[PlanTask]:
    """Return the functions that can be run by themselves: no queue joins them with others."""
    return [
        task
        for task in plan.tasks.values()
        if task.function is not None and task.skip is None
        and task.consume is None and task.publish is None and task.source is None
    ]  # fmt: skip


def copies(plan: Plan, task: PlanTask, count: int) -> int:
    """Return how many of *task*, which has *count* instances, are measured at once.

    Of one without instances two: as many as it takes to see whether they are in each other's way.
    """
    if not task.many:
        return 2
    return max(2, min(count, plan.threads, plan.processes, _MOST_COPIES))


def measure(
    evidence: Evidence,
    trials: Trials,
    plan: Plan,
    tasks: Sequence[PlanTask],
    times: int,
    say: Callable[[str], None],
) -> None:
    """Replace what is known of *tasks* by what trials show; *times* is how often each runs alone.

    *say* is told of each step, and of what cannot be measured. Raises ``TrialFailed`` where that
    is all of them, ``Interrupted``.
    """
    failed: TrialFailed | None = None
    measured = 0
    for task in tasks:
        before = evidence.tasks[task.name]
        try:
            known = _measured(trials, plan, task, times, say)
        except (TemplateError, TrialFailed) as error:
            before.trouble = str(error)
            say(f"`{task.name}` is not measured: {error}")
            if isinstance(error, TrialFailed):
                failed = error
            continue
        known.chances, known.starts = before.chances, before.starts
        evidence.tasks[task.name] = known
        evidence.server_s = max(evidence.server_s, _server_s(known.shots["process"]))
        measured += 1
    if failed is not None and not measured:
        raise failed


def _measured(
    trials: Trials, plan: Plan, task: PlanTask, times: int, say: Callable[[str], None]
) -> Known:
    """Return what trials show of *task*. Raises ``TrialFailed``, ``TemplateError``."""
    calls = trials.arguments(task)
    if not calls:
        raise TemplateError("its `foreach` has no items")
    at_once = copies(plan, task, len(calls))
    known = Known(measured=True, copies=at_once)
    # its own mode first: who is a process because it may crash does not end orch as a thread
    for mode in sorted(modes_of(task), key=lambda mode: mode != task.mode):
        say(f"`{task.name}` as `{mode}`: alone, then {at_once} at once")
        known.shots[mode], known.together[mode] = tried(
            trials, task, Way(mode), calls, times, at_once
        )
    return known


def tried(
    trials: Trials,
    task: PlanTask,
    way: Way,
    calls: Sequence[dict[str, object]],
    times: int,
    at_once: int,
) -> tuple[list[Shot], float]:
    """Run *task* one way, alone and several at once: the shots alone, and seconds of the others."""
    alone = _alone(trials, task, way, calls, times)
    crowd = list(islice(cycle(calls), at_once))
    usual_s = median(shot.cost.startup_s or 0.0 for shot in alone)
    together_s = min(
        _span_s(trials.run(task, way, crowd, together=True), usual_s) for _ in range(2)
    )
    return alone, together_s


def _alone(
    trials: Trials, task: PlanTask, way: Way, calls: Sequence[dict[str, object]], times: int
) -> list[Shot]:
    """Run the function one time after the other; the first of a process starts its server."""
    shots = trials.run(task, way, calls[:1], together=False)
    if shots[0].cost.wall_s > _LONG_S:
        return shots
    more = times * 3 if shots[0].cost.wall_s < _SHORT_S else times
    rest = trials.run(task, way, list(islice(cycle(calls), more + 1)), together=False)
    return rest[1:] if way == THREAD else rest


def _span_s(shots: Sequence[Shot], usual_s: float) -> float:
    """Return what *shots* took together, but for what the first one had to wait for its server."""
    first_s = min(shot.cost.startup_s or 0.0 for shot in shots)
    span_s = max(shot.ended_at for shot in shots) - min(shot.started_at for shot in shots)
    return span_s - max(0.0, first_s - usual_s)


def _server_s(shots: Sequence[Shot]) -> float:
    """Return what the start of the server adds to the first process of a run."""
    starts = [shot.cost.startup_s or 0.0 for shot in shots]
    return max(0.0, starts[0] - median(starts))
