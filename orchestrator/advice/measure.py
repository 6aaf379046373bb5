"""Measuring: each function alone and several at once, in each mode that it can have, in turns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median
from time import monotonic

from orchestrator.advice.evidence import Evidence
from orchestrator.advice.known import Crowd, Known
from orchestrator.advice.modes import modes_of
from orchestrator.advice.overhead import of_imports, of_nothing
from orchestrator.advice.replay import module_of
from orchestrator.advice.shots import Shot
from orchestrator.advice.trial import THREAD, Call, TrialFailed, Trials, Way
from orchestrator.errors import TemplateError
from orchestrator.plan.model import Plan, PlanTask

_LONG_S = 2.0  # what takes so long is run once alone and once together
_SHORT_S = 0.2  # and what takes so little in more rounds: it disturbs, and is disturbed, more
_MORE = 2  # times as many
_ENOUGH_S = 30.0  # no further round of a task is begun after this
_AGREES = 2.0  # by so much what was seen once may differ from what was seen often
_NOTHING_S = 1e-6
_MOST_COPIES = 8


@dataclass(slots=True)
class Tried:
    """A task run one way.

    *firsts* are attempts alone which were the first call in orch's own process, or in this run of
    it, *alone* the others; *crowds* several at once, one for each round.
    """

    firsts: list[Shot] = field(default_factory=list)
    alone: list[Shot] = field(default_factory=list)
    crowds: list[Crowd] = field(default_factory=list)

    @property
    def usual(self) -> list[Shot]:
        """Attempts as most are, if there are such."""
        return self.alone or self.firsts

    @property
    def crowd(self) -> Crowd | None:
        """What several at once took, in the middle; None where there never were several."""
        if not self.crowds:
            return None
        return Crowd(*map(median, zip(*self.crowds, strict=True)))


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
    Never more than the job itself lets run at once.
    """
    most = min(count if task.many else 2, plan.threads, plan.processes, _MOST_COPIES)
    lots = (plan.resources[name] // amount for name, amount in task.resources.items())
    return max(1, min((most, *lots)))


def measure(
    evidence: Evidence,
    trials: Trials,
    plan: Plan,
    tasks: Sequence[PlanTask],
    times: int,
    say: Callable[[str], None],
) -> None:
    """Replace what is known of *tasks* by what trials show; *times* is how many rounds there are.

    *say* is told of each step, and of what cannot be measured. Raises ``TrialFailed`` where that
    is all of them, ``Interrupted``.
    """
    if not tasks:
        return
    say("orch itself: runs that do nothing")
    nothing = of_nothing(trials.folder)
    if not nothing.begins:
        say("that failed: what a run begins with is taken for granted")
    modules = list(dict.fromkeys(map(module_of, tasks)))
    evidence.overhead.imports |= of_imports(plan.root, trials.environment, modules)
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
    """Return what trials show of *task*, beside *before*. Raises as ``tried``, ``calls``."""
    calls = trials.calls(task)
    if not calls:
        raise TemplateError("its `foreach` has no items")
    at_once = copies(plan, task, len(calls))
    # its own mode first: who is a process because it may crash does not end orch as a thread
    ways = [Way(mode) for mode in sorted(modes_of(task), key=lambda mode: mode != task.mode)]
    try:
        found = tried(trials, task, ways, calls, times, at_once, say)
    except TrialFailed:
        if task.many or at_once == 1:
            raise
        at_once = 1  # the job itself never runs two of it at once
        found = tried(trials, task, ways, calls, times, at_once, say)
    known = Known(measured=True, copies=at_once, chances=before.chances, starts=before.starts)
    for way, one in found.items():
        known.shots[way.mode] = one.usual
        if one.crowd is not None:
            known.together[way.mode] = one.crowd
    if THREAD in found:
        known.first_s = _first_s(found[THREAD], found[Way("process")])
    return known


def tried(
    trials: Trials,
    task: PlanTask,
    ways: Sequence[Way],
    calls: Sequence[Call],
    times: int,
    at_once: int,
    say: Callable[[str], None],
) -> dict[Way, Tried]:
    """Run *task* in each of *ways*, alone and *at_once* at once, round by round.

    So whatever the machine does meanwhile meets all of them alike. Each round has other items, from
    all over the list. Raises ``TrialFailed``.
    """
    found = {way: Tried() for way in ways}
    for way, one in found.items():
        say(f"`{task.name}` as {way}")
        _sort_in(one, way, trials.run(task, way, calls[:1], alone=1))
    long = max(one.usual[0].cost.wall_s for one in found.values()) > _LONG_S
    short = max(one.usual[0].cost.wall_s for one in found.values()) < _SHORT_S
    rounds = 1 if long else times * _MORE if short else times
    how = ["alone"] * (not long) + [f"{at_once} at once"] * (at_once > 1)
    say(f"`{task.name}`: {', then '.join(how)}{f', {rounds} times' if rounds > 1 else ''}")
    enough = monotonic() + _ENOUGH_S
    for number in range(rounds):
        items = _window(calls, number, rounds, at_once)
        for way in ways if number % 2 == 0 else reversed(ways):
            _round(trials, task, way, items, found[way], alone=not long)
        if monotonic() > enough:
            break
    return found


def _window(calls: Sequence[Call], number: int, rounds: int, at_once: int) -> list[Call]:
    """Return the items of a round: so that all rounds together have some from all over the list."""
    wanted, there = rounds * at_once, len(calls)
    places = (number * at_once + i for i in range(at_once))
    if wanted <= there:
        return [calls[place * there // wanted] for place in places]
    return [calls[place % there] for place in places]


def _round(
    trials: Trials, task: PlanTask, way: Way, items: list[Call], one: Tried, *, alone: bool
) -> None:
    """Run *items*, if *alone* first one after the other, and then all at once."""
    first = items[:1] if way == THREAD else []
    before = [*first, *items] if alone else []
    crowd = items if len(items) > 1 else []
    shots = trials.run(task, way, [*before, *crowd], alone=len(before)) if before or crowd else []
    _sort_in(one, way, shots[: len(before)])
    if crowd:
        each = shots[len(first) : len(before)] or [one.usual[0]] * len(crowd)
        one.crowds.append(_crowd(shots[len(before) :], each, way))


def most_attempts(plan: Plan, task: PlanTask, times: int) -> int:
    """Return how often *task* may be run in each mode, when it is measured."""
    at_once = copies(plan, task, task.count or _MOST_COPIES)
    return 1 + times * _MORE * (1 + 2 * at_once)


def _sort_in(one: Tried, way: Way, alone: Sequence[Shot]) -> None:
    """Add attempts alone of one run: on a thread the first is not like the others."""
    few = 1 if way == THREAD else 0
    one.firsts += alone[:few]
    one.alone += alone[few:]


def _crowd(shots: Sequence[Shot], alone: Sequence[Shot], way: Way) -> Crowd:
    """Return what *shots* took together, but for imports and for the wait for their server.

    *alone* are the same one by one.
    """
    begun = [_began(shot, way) for shot in shots]
    seconds = max(shot.ended_at for shot in shots) - min(begun)
    took = [shot.ended_at - _began(shot, way) for shot in alone]
    return Crowd(seconds, seconds / max(sum(took), _NOTHING_S), seconds / max(*took, _NOTHING_S))


def _began(shot: Shot, way: Way) -> float:
    """Return from when on *shot* is looked at."""
    if way == THREAD:
        return shot.started_at + (shot.cost.startup_s or 0.0)
    return shot.started_at + shot.lost_s


def _first_s(thread: Tried, process: Tried) -> float:
    """Return what the first call in orch's own process took more than the others did.

    It imports what the function itself imports, or fills caches. That was seen once; in processes
    every call is a first one, so they have to agree.
    """
    if not thread.alone:
        return 0.0
    usual = _by_items(thread.alone)
    first, *later = thread.firsts  # later runs keep packages, but not modules
    more_s = max(_more(usual, [first]), _more(usual, later))
    apart_more_s = _more(usual, process.alone)
    return more_s if more_s < apart_more_s * _AGREES else apart_more_s


def _by_items(shots: Iterable[Shot]) -> dict[int | None, float]:
    """Return what calls take, by items."""
    found: dict[int | None, list[float]] = {}
    for shot in shots:
        found.setdefault(shot.item, []).append(shot.cost.wall_s)
    return {item: median(walls) for item, walls in found.items()}


def _more(usual: dict[int | None, float], shots: Sequence[Shot]) -> float:
    """Return by how much *shots* took longer than is *usual* with their items."""
    more = [shot.cost.wall_s - usual[shot.item] for shot in shots if shot.item in usual]
    return max(0.0, median(more)) if more else 0.0
