"""Measuring: each function alone and several at once, in each mode that it can have, in turns."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from time import monotonic

from orchestrator.advice.evidence import Evidence
from orchestrator.advice.known import Crowd, Known
from orchestrator.advice.modes import modes_of
from orchestrator.advice.overhead import of_imports
from orchestrator.advice.replay import module_of
from orchestrator.advice.shots import Shot
from orchestrator.advice.trial import THREAD, Call, TrialFailed, Trials, Way
from orchestrator.errors import TemplateError
from orchestrator.loading import cpus
from orchestrator.plan.graph import levels
from orchestrator.plan.model import Plan, PlanTask
from orchestrator.spec.durations import show

_LONG_S = 2.0  # what takes so long is run once alone and once together
_SHORT_S = 0.2  # and what takes so little in more rounds: it disturbs, and is disturbed, more
_MORE = 2  # times as many
_TINY_S, _FEW = 0.001, 2
_ENOUGH_S = 30.0  # no further round of a task is begun after this
_NOTHING_S = 1e-6
_TRIAL_S = 0.15  # what a trial takes besides
_TOLD_S = 2.0  # from which on it is told how long the rounds of a task take
_MOST_COPIES, _MOST_LONG_COPIES = 8, 4


@dataclass(slots=True)
class Tried:
    """A task run one way, in runs of their own.

    *firsts* are attempts alone that were the first thing in their run, *alone* later ones; *fresh*
    are several at once as the first thing in a run, *crowds* later ones, and all of processes:
    those are alike. *trouble* is why it could not be run so.
    """

    firsts: list[Shot] = field(default_factory=list)
    alone: list[Shot] = field(default_factory=list)
    fresh: list[Crowd] = field(default_factory=list)
    crowds: list[Crowd] = field(default_factory=list)
    trouble: TrialFailed | None = None

    @property
    def usual(self) -> list[Shot]:
        """Attempts as most are, if there are such."""
        return self.alone or self.firsts

    @property
    def crowd(self) -> Crowd | None:
        """What several at once took, in the middle; None where there never were several."""
        crowds = self.crowds or self.fresh
        return Crowd(*map(median, zip(*crowds, strict=True))) if crowds else None


def measurable(plan: Plan, names: Collection[str] | None = None) -> list[PlanTask]:
    """Return the functions that can be run by themselves: no queue joins them with others.

    Of all, those that run where nothing fails; or those among *names*. What others need is first.
    """
    order, _ = levels({name: task.needs for name, task in plan.tasks.items()})
    return [
        task
        for task in map(plan.tasks.__getitem__, order)
        if task.function is not None and task.skip is None
        and task.consume is None and task.publish is None and task.source is None
        and (task.run_when != "failed" if names is None else task.name in names)
    ]  # fmt: skip


def copies(plan: Plan, task: PlanTask, count: int, way: Way) -> int:
    """Return how many of *task*, which has *count* instances, are run at once to measure it.

    As many as the job itself would run at once, up to a number; of one without instances two,
    which is as many as it takes to see whether they are in each other's way.
    """
    slots = plan.threads if way == THREAD else min(plan.threads, plan.processes)
    lots = (plan.resources[name] // amount for name, amount in task.resources.items())
    return max(1, min(count if task.many else 2, slots, _MOST_COPIES, *lots))


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
    failed: TrialFailed | None = None
    measured = 0
    twins: dict[str, tuple[str, dict[Way, Tried]]] = {}
    try:
        for task in tasks:
            known = evidence.tasks[task.name]
            try:
                found = _tried_once(twins, trials, plan, task, times, say)
                evidence.tasks[task.name] = _known(known, found)
            except (TemplateError, TrialFailed) as error:
                known.trouble = str(error)
                say(f"`{task.name}` is not measured: {error}")
                if isinstance(error, TrialFailed):
                    failed = error
                continue
            measured += 1
        if failed is not None and not measured:
            raise failed
        modules = list(dict.fromkeys(map(module_of, tasks)))
        trials.overhead.imports = of_imports(plan.root, trials.environment, modules)
    finally:
        evidence.overhead.learn(trials.overhead)


def _tried_once(
    twins: dict[str, tuple[str, dict[Way, Tried]]],
    trials: Trials,
    plan: Plan,
    task: PlanTask,
    times: int,
    say: Callable[[str], None],
) -> dict[Way, Tried]:
    """Return what trials show of *task*, or have shown of one that does the same.

    Raises as ``calls``.
    """
    calls = trials.calls(task)
    if not calls:
        why = "its `foreach` has no items" if task.when is None else "its `when` says no"
        raise TemplateError(why)
    several = {way: copies(plan, task, len(calls), way) for way in map(Way, modes_of(task))}
    same = repr((
        task.function, [call.filled for call in calls], several, task.env, task.cwd, task.many,
        task.retry, task.timeout_s, task.resources,
    ))  # fmt: skip
    if same in twins:
        name, found = twins[same]
        trials.is_like(task.name, name)
        say(f"`{task.name}` does what `{name}` does")
        return found
    found = tried(trials, task, several, calls, times, say)
    twins[same] = task.name, found
    return found


def _known(before: Known, found: Mapping[Way, Tried]) -> Known:
    """Return what is *found* of a task, beside what was known *before*.

    Raises ``TrialFailed`` where it failed in every way.
    """
    troubles = [one.trouble for one in found.values() if one.trouble is not None]
    if len(troubles) == len(found):
        raise troubles[0]
    known = Known(measured=True, chances=before.chances, starts=before.starts, crash=before.crash)
    for way, one in found.items():
        if one.trouble is not None:
            known.barred[way.mode] = one.trouble.why
            continue
        known.shots[way.mode] = one.usual
        if one.crowd is not None:
            known.together[way.mode] = one.crowd
    known.bar_failures()
    if known.shots.get("thread"):
        known.first_s = _first_s(found[THREAD])
    return known


def tried(
    trials: Trials,
    task: PlanTask,
    several: Mapping[Way, int],
    calls: Sequence[Call],
    times: int,
    say: Callable[[str], None],
) -> dict[Way, Tried]:
    """Run *task* in each of the ways that *several* has, alone and as many at once, by rounds.

    So whatever the machine does meanwhile meets all of them alike. Each round has other items, from
    all over the list. A way in which it fails once is not tried again, and has its trouble. One
    that fails beside itself, which it never is in the job, is run alone only.
    """
    found = {way: Tried() for way in several}

    def run(way: Way, groups: Sequence[Sequence[Call]]) -> list[list[Shot]]:
        try:
            return trials.run(task, way, groups)
        except TrialFailed as error:
            found[way].trouble = error
            say(str(error))
            return []

    for way, one in found.items():
        say(f"`{task.name}` as {way}")
        one.firsts += [shot for group in run(way, [calls[:1]]) for shot in group]
    longest_s = max((one.firsts[0].cost.wall_s for one in found.values() if one.firsts), default=0)
    long, rounds = longest_s > _LONG_S, _rounds(longest_s, times)
    most = _MOST_COPIES if longest_s < _SHORT_S else _MOST_LONG_COPIES
    counts = {way: min(most, count) for way, count in several.items()}
    if longest_s:
        lasts_s = _lasts_s(found, counts, rounds, alone=not long, many=task.many)
        about = f", about {show(lasts_s)}" if lasts_s >= _TOLD_S else ""
        say(f"`{task.name}`: {_in_words(counts, rounds, alone=not long)}{about}")
    enough = monotonic() + _ENOUGH_S
    for number in range(rounds):
        for way in list(counts) if number % 2 == 0 else list(reversed(counts)):
            items = _window(calls, number, rounds, counts[way])
            groups = _Groups(items, alone=not long, many=task.many)
            if found[way].trouble is None and groups.all:
                groups.sort_in(found[way], run(way, groups.all), way)
                if found[way].trouble is not None and counts[way] > 1 and not task.many:
                    return tried(trials, task, dict.fromkeys(several, 1), calls, times, say)
        if monotonic() > enough:
            break
    return found


def _rounds(longest_s: float, times: int) -> int:
    """Return how many rounds there are of what takes so long."""
    if longest_s > _LONG_S:
        return 1
    if longest_s < _TINY_S:  # what it takes is that of orch
        return min(_FEW, times * _MORE)
    return times * _MORE if longest_s < _SHORT_S else times


def _lasts_s(
    found: Mapping[Way, Tried], counts: Mapping[Way, int], rounds: int, *, alone: bool, many: bool
) -> float:
    """Return about how long the rounds will take, by what each way has taken once."""
    round_s = 0.0
    for way, count in counts.items():
        if not found[way].firsts:
            continue
        cost = found[way].firsts[0].cost
        shared = 1 if way == THREAD else cpus()
        crowd_s = max(cost.wall_s, count * (cost.cpu_s or 0.0) / shared) * (count > 1)
        round_s += _TRIAL_S + count * cost.wall_s * alone + crowd_s * (2 if many and alone else 1)
    return min(rounds * round_s, _ENOUGH_S + round_s)


def _in_words(counts: Mapping[Way, int], rounds: int, *, alone: bool) -> str:
    """Return what is measured."""
    several = sorted({count for count in counts.values() if count > 1}, reverse=True)
    how = ["alone"] * alone + [f"{' and '.join(map(str, several))} at once"] * bool(several)
    return f"{', then '.join(how)}{f', {rounds} times' if rounds > 1 else ''}"


def _window(calls: Sequence[Call], number: int, rounds: int, at_once: int) -> list[Call]:
    """Return the items of a round: so that all rounds together have some from all over the list."""
    wanted, there = rounds * at_once, len(calls)
    places = (number * at_once + i for i in range(at_once))
    if wanted <= there:
        return [calls[place * there // wanted] for place in places]
    return [calls[place % there] for place in places]


class _Groups:
    """What is run in one trial: *items* one after the other, if *alone* is wanted, then at once.

    Before those comes what the first thing in a run of the job is: several at once where it has
    instances, and otherwise one alone.
    """

    def __init__(self, items: Sequence[Call], *, alone: bool, many: bool) -> None:
        self._singles = [[item] for item in items] if alone else []
        self._crowd = [items] if len(items) > 1 else []
        self._begins: Sequence[Sequence[Call]] = []
        if alone:
            self._begins = self._crowd if many and self._crowd else self._singles[:1]
        self.all = [*self._begins, *self._singles, *self._crowd]

    def sort_in(self, one: Tried, shots: Sequence[Sequence[Shot]], way: Way) -> None:
        """Add what the trial showed, which is nothing where it failed."""
        if not shots:
            return
        begun = len(self._begins)
        each = [group[0] for group in shots[begun : begun + len(self._singles)]]
        one.alone += each
        if self._crowd:
            apart = each or [one.usual[0]] * len(self._crowd[0])
            one.crowds.append(_crowd(shots[-1], apart, way))
        if begun and self._begins == self._crowd:
            crowds = one.fresh if way == THREAD else one.crowds
            crowds.append(_crowd(shots[0], each, way))
        elif begun:
            one.firsts += shots[0]


def most_attempts(plan: Plan, task: PlanTask, times: int) -> int:
    """Return how often *task* may be run in a mode, when it is measured."""
    several = copies(plan, task, task.count or _MOST_COPIES, THREAD)
    calls = 1 + times * _MORE * (3 * several if task.many else 1 + 2 * several)
    return calls * task.retry.attempts


def _crowd(shots: Sequence[Shot], alone: Sequence[Shot], way: Way) -> Crowd:
    """Return what *shots* took together, but for imports and for the wait for their server.

    *alone* are the same one by one.
    """
    begun = [_began(shot, way) for shot in shots]
    seconds = max(shot.ended_at for shot in shots) - min(begun)
    took = [shot.ended_at - _began(shot, way) for shot in alone]
    share, slower = (seconds / max(unit(took), _NOTHING_S) for unit in (sum, max))
    return Crowd(seconds, share, slower, len(shots))


def _began(shot: Shot, way: Way) -> float:
    """Return from when on *shot* is looked at."""
    if way == THREAD:
        return shot.started_at + (shot.cost.startup_s or 0.0)
    return shot.started_at + shot.lost_s


def _first_s(thread: Tried) -> float:
    """Return what the first calls in a run took more than later ones.

    They import what the function itself imports, fill caches, and get memory from the system. Of
    what was seen the least counts: all noise of the machine would look like it.
    """
    if thread.fresh:
        fresh_s, later_s = (
            min(crowd.seconds for crowd in crowds) for crowds in (thread.fresh, thread.crowds)
        )
        return max(0.0, fresh_s - later_s)
    usual: dict[int | None, list[float]] = {}
    for shot in thread.alone:
        usual.setdefault(shot.item, []).append(shot.cost.wall_s)
    more = [s.cost.wall_s - median(usual[s.item]) for s in thread.firsts if s.item in usual]
    return max(0.0, min(more)) if more else 0.0
