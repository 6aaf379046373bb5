"""Measuring: each function alone and several at once, in each mode that it can have, in turns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice
from statistics import median

from orchestrator.advice.evidence import Evidence, modes_of
from orchestrator.advice.known import Known
from orchestrator.advice.overhead import of_imports, of_nothing
from orchestrator.advice.replay import module_of
from orchestrator.advice.shots import Shot
from orchestrator.advice.trial import THREAD, TrialFailed, Trials, Way
from orchestrator.errors import TemplateError
from orchestrator.plan.model import Plan, PlanTask

_LONG_S = 2.0  # what takes so long is run once alone and once together
_SHORT_S = 0.2  # and what takes so little in more rounds: it disturbs, and is disturbed, more
_MORE = 2  # times as many
_ALONE = 2  # attempts alone in each round: the first call in a Python is not like the others
_AGREES = 2.0  # by so much what was seen once may differ from what was seen often
_MOST_COPIES = 8


@dataclass(slots=True)
class Tried:
    """A task run one way: attempts alone, and for each round the seconds of several at once.

    *firsts* are those alone which were the first call in orch's own process, or in this run of it.
    """

    firsts: list[Shot] = field(default_factory=list)
    alone: list[Shot] = field(default_factory=list)
    together: list[float] = field(default_factory=list)

    @property
    def usual(self) -> list[Shot]:
        """Attempts as most are, if there are such."""
        return self.alone or self.firsts


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
    say("orch itself: runs that do nothing")
    nothing = of_nothing(trials.folder)
    evidence.overhead.imports = of_imports(plan.root, list(dict.fromkeys(map(module_of, tasks))))
    failed: TrialFailed | None = None
    measured = 0
    for task in tasks:
        known = evidence.tasks[task.name]
        try:
            evidence.tasks[task.name] = _measured(known, trials, plan, task, times, say)
        except (TemplateError, TrialFailed) as error:
            known.trouble = str(error)
            say(f"`{task.name}` is not measured: {error}")
            if isinstance(error, TrialFailed):
                failed = error
            continue
        measured += 1
    nothing.add(of_nothing(trials.folder))  # the machine may be a slower one by now
    evidence.overhead.fill(nothing)
    if trials.servers:
        evidence.overhead.servers = trials.servers
    if failed is not None and not measured:
        raise failed


def _measured(
    before: Known,
    trials: Trials,
    plan: Plan,
    task: PlanTask,
    times: int,
    say: Callable[[str], None],
) -> Known:
    """Return what trials show of *task*, beside *before*. Raises as ``tried``, ``arguments``."""
    calls = trials.arguments(task)
    if not calls:
        raise TemplateError("its `foreach` has no items")
    at_once = copies(plan, task, len(calls))
    # its own mode first: who is a process because it may crash does not end orch as a thread
    modes = sorted(modes_of(task), key=lambda mode: mode != task.mode)
    found = tried(trials, task, [Way(mode) for mode in modes], calls, times, at_once, say)
    known = Known(measured=True, copies=at_once, chances=before.chances, starts=before.starts)
    for way, one in found.items():
        known.shots[way.mode] = one.usual
        known.together[way.mode] = median(one.together)
    known.first_s = _first_s(found[THREAD], found[Way("process")])
    return known


def tried(
    trials: Trials,
    task: PlanTask,
    ways: Sequence[Way],
    calls: Sequence[dict[str, object]],
    times: int,
    at_once: int,
    say: Callable[[str], None],
) -> dict[Way, Tried]:
    """Run *task* in each of *ways*, alone and *at_once* at once, round by round.

    So whatever the machine does meanwhile meets all of them alike. Raises ``TrialFailed``.
    """
    found = {way: Tried() for way in ways}
    crowd = list(islice(cycle(calls), at_once))
    for way, one in found.items():
        say(f"`{task.name}` as {way}")
        _sort_in(one, way, trials.run(task, way, calls[:1], alone=1))
    longest_s = max(one.usual[0].cost.wall_s for one in found.values())
    rounds = _rounds(times, longest_s)
    how = "" if longest_s > _LONG_S else "alone, then "
    say(f"`{task.name}`: {how}{at_once} at once{f', {rounds} times' if rounds > 1 else ''}")
    for number in range(rounds):
        for way in ways if number % 2 == 0 else reversed(ways):
            before = [] if longest_s > _LONG_S else [calls[number % len(calls)]] * _ALONE
            shots = trials.run(task, way, [*before, *crowd], alone=len(before))
            _sort_in(found[way], way, shots[: len(before)])
            found[way].together.append(_span_s(shots[len(before) :]))
    return found


def _rounds(times: int, wall_s: float) -> int:
    """Return how many rounds there are for what takes *wall_s*."""
    if wall_s > _LONG_S:
        return 1
    return times * _MORE if wall_s < _SHORT_S else times


def most_attempts(plan: Plan, task: PlanTask, times: int) -> int:
    """Return how often *task* may be run in each mode, when it is measured."""
    return 1 + times * _MORE * (_ALONE + copies(plan, task, task.count or _MOST_COPIES))


def _sort_in(one: Tried, way: Way, alone: Sequence[Shot]) -> None:
    """Add attempts alone of one run: on a thread the first is not like the others."""
    few = 1 if way == THREAD else 0
    one.firsts += alone[:few]
    one.alone += alone[few:]


def _span_s(shots: Sequence[Shot]) -> float:
    """Return what *shots* took together, but for what they had to wait for their server."""
    span_s = max(shot.ended_at for shot in shots) - min(shot.started_at for shot in shots)
    return span_s - max(shot.lost_s for shot in shots)


def _first_s(thread: Tried, process: Tried) -> float:
    """Return what the first call in orch's own process took more than the others did.

    It imports what the function itself imports, or fills caches. That was seen once; in processes
    every call is a first one, so they have to agree.
    """
    if not thread.alone:
        return 0.0
    usual_s, each_s, apart_s = (
        median(shot.cost.wall_s for shot in shots)
        for shots in (thread.alone, thread.firsts, process.alone)
    )
    first_s = max(thread.firsts[0].cost.wall_s, each_s)  # later runs keep packages, but not modules
    more_s, apart_more_s = max(0.0, first_s - usual_s), max(0.0, apart_s - usual_s)
    return more_s if more_s < apart_more_s * _AGREES else apart_more_s
