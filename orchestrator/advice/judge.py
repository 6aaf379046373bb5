"""The advice: which modes make the job fastest, why, and how sure that is."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from statistics import median

from orchestrator.advice.evidence import Evidence
from orchestrator.advice.known import Crowd
from orchestrator.advice.modes import FUNCTION_MODES, modes_of
from orchestrator.advice.reasons import WORTH, WORTH_S, Reasons, why_unknown
from orchestrator.advice.replay import Load, module_of, replay, simplified
from orchestrator.plan.model import Plan, PlanTask
from orchestrator.spec.durations import show_finely

EFFORT = 400_000  # attempts to be gone through: about ten seconds
_LEAST_REPLAYS = 4
_MOSTLY = 0.5
_OFF, _OFF_S = 0.25, 0.03  # by so much runs may take another time than they are thought to
_ABOUT, _NEARLY = 1.3, 0.1  # what several take of something is so near to what one does
_ATTEMPT_S = 0.0001  # what each attempt takes of orch itself at most
_SLOWER = 1.05  # several at once that take no more than so many times as long do not disturb
_MOST_TRIED = 64  # tasks whose other mode is tried, those first that hold the GIL most


@dataclass(slots=True)
class Advice:
    """What is advised for one task.

    *seconds* are those of the whole job with the task in each mode, and all others as they are;
    *saves_s* is what its change adds to what all that is advised saves; *seconds_alone* what an
    attempt takes by itself, infinite where that is not known.
    """

    task: str
    mode: str
    advised: str
    reason: str
    confidence: str
    evidence: str
    seconds: dict[str, float] = field(default_factory=dict)
    seconds_alone: float = inf
    saves_s: float = 0.0


@dataclass(slots=True)
class Verdict:
    """The advice for a job; *now_s* and *advised_s* are what a run takes, as far as is known.

    Of the tasks *unknown* it is not: they are taken to need no time. *recorded_s* is what runs
    took that were as a run would be now, None where there is none; *explained* is whether *now_s*
    is about that. Those *failing* do so in the modes that they have.
    """

    tasks: dict[str, Advice]
    now_s: float | None
    advised_s: float | None
    unknown: list[str] = field(default_factory=list)
    recorded_s: float | None = None
    explained: bool = True
    failing: list[str] = field(default_factory=list)


class Judge:
    """Tries modes by replaying the job."""

    def __init__(
        self,
        plan: Plan,
        evidence: Evidence,
        cpus: int,
        *,
        gil: bool = True,
        effort: int = EFFORT,
        starters: Collection[str] = (),
    ) -> None:
        """Judge by *evidence*; all replays together go through about *effort* attempts.

        *starters* are functions that start other programs.
        """
        self._starters = starters
        self._plan, self._evidence, self._cpus, self._gil = plan, evidence, cpus, gil
        self._counts = evidence.counts
        attempts = sum(self._count(name) for name in plan.tasks)
        self._left = max(_LEAST_REPLAYS, effort // max(1, attempts))
        self._resting = {name for name, known in evidence.tasks.items() if known.rests}
        self._known = {
            name: known
            for name, known in evidence.tasks.items()
            if known.shots and plan.tasks[name].function is not None
        }
        self._imports: dict[str, float] = {}
        for name, known in self._known.items():
            module = module_of(plan.tasks[name])
            import_s = evidence.overhead.imports.get(module, known.import_s) + known.first_s
            self._imports[module] = max(import_s, self._imports.get(module, 0.0))
        self._loads = {
            (name, mode): loads
            for name, known in self._known.items()
            for mode in modes_of(plan.tasks[name])
            if (loads := self._loads_of(name, mode))
        }
        self._barred = {
            (name, mode) for name, known in self._known.items() for mode in known.barred
        }
        self._programs = {
            name: [load]
            for name, known in evidence.tasks.items()
            if name not in self._known and (load := known.load(plan.tasks[name].mode)) is not None
        }

    def _loads_of(self, name: str, mode: str) -> list[Load]:
        """Return the loads of the instances of a task; nothing where nothing is known."""
        known = self._known[name]
        import_s = self._imports[module_of(self._plan.tasks[name])]
        by_item = {
            item: self._calibrated(load, known.together.get(mode), mode)
            for item, load in known.loads(mode, import_s).items()
        }
        some = list(by_item.values())
        if len(some) <= 1:
            return some
        return [by_item.get(i) or some[i % len(some)] for i in range(self._count(name))]

    def _calibrated(self, load: Load, crowd: Crowd | None, mode: str) -> Load:
        """Return *load* so that several at once take what they were seen to take."""
        if crowd is None:
            return load
        share, held = crowd.share, crowd.slower > _SLOWER
        takes_turns = mode == "thread" and self._gil
        if not held:
            cpu = load.cpu if takes_turns else min(load.cpu, share * self._cpus)
            return Load(load.seconds, cpu, min(load.gil, share) if takes_turns else 0.0)
        if takes_turns and share <= _explained(load.gil):
            return Load(load.seconds, load.cpu, share)
        gil = load.gil if takes_turns else 0.0
        if share <= _explained(load.cpu / self._cpus):
            return Load(load.seconds, share * self._cpus, gil)
        if takes_turns and share <= _explained(min(1.0, load.cpu)):  # more than samples have seen
            return Load(load.seconds, load.cpu, share)
        return Load(load.seconds, load.cpu, gil, alike=share)

    def time(self, modes: Mapping[str, str]) -> float:
        """Return the seconds of a run with *modes*."""
        self._left -= 1
        loads = dict(self._programs)
        for name in self._known:
            found = self._loads.get((name, modes[name]))
            if found is not None:
                loads[name] = found
        plan = simplified(self._plan, modes, self._counts, self._resting)
        overhead = self._evidence.overhead
        took_s = replay(
            plan, loads, self._cpus, free_threads=not self._gil, ready_s=overhead.server_s,
            imports=self._imports,
        )  # fmt: skip
        return overhead.begins_s(processes="process" in modes.values()) + took_s

    def verdict(self, only: Collection[str] | None = None) -> Verdict:
        """Return the advice; with *only* all other tasks stay as they are."""
        now = {name: task.mode for name, task in self._plan.tasks.items()}
        functions = [t for t in self._plan.tasks.values() if t.function is not None]
        if not self._known:
            tasks = {task.name: self._unknown(task) for task in functions}
            return Verdict(tasks, None, None)
        now_s, recorded_s, unknown = self.time(now), self._recorded_s(now), self._unknowns()
        explained = bool(unknown) or recorded_s is None or self._is_about(now_s, recorded_s)
        movable = [name for name in self._known if only is None or name in only]
        best, best_s = self._best(now, movable)
        tasks = {}
        for task in functions:
            if task.name not in self._known:
                tasks[task.name] = self._unknown(task)
                continue
            seconds: dict[str, float] = {now[task.name]: now_s}
            for mode in FUNCTION_MODES:
                tried = mode in seconds or self._left <= 0
                if not tried and self._can(task.name, mode):
                    seconds[mode] = self.time({**now, task.name: mode})
            without_s = best_s
            if best[task.name] != task.mode and self._left > 0:
                without_s = self.time({**best, task.name: task.mode})
            advice = self._advice(task, best[task.name], seconds, explained=explained)
            tasks[task.name] = advice
            advice.saves_s = max(0.0, without_s - best_s)
            others = any(best[name] != now[name] for name in best if name != task.name)
            if others and advice.saves_s > now_s - seconds.get(advice.advised, now_s) + WORTH_S:
                advice.reason += (
                    f"; with the other changes {show_finely(best_s)}, and "
                    f"{show_finely(without_s)} if it stays `{task.mode}`"
                )
        failing = [name for name, mode in now.items() if (name, mode) in self._barred]
        return Verdict(tasks, now_s, best_s, unknown, recorded_s, explained, failing)

    def _recorded_s(self, modes: Mapping[str, str]) -> float | None:
        """Return what runs took in which all tasks had these *modes*, and did what they do now."""
        attempts = self._attempts()
        took = [
            run.seconds
            for run in self._evidence.wholes
            if run.attempts == attempts and run.modes == modes
        ]
        return median(took) if took else None

    def _is_about(self, thought_s: float, took_s: float) -> bool:
        """Tell whether runs took what they are thought to, and what orch takes itself."""
        slack_s = max(_OFF * took_s, _OFF_S) + self._attempts() * _ATTEMPT_S
        return abs(took_s - thought_s) <= slack_s

    def _attempts(self) -> int:
        """Return how many attempts a run makes, if none fails."""
        active = [task.name for task in self._plan.tasks.values() if task.skip is None]
        return sum(self._count(name) for name in active if name not in self._resting)

    def _unknowns(self) -> list[str]:
        """Return the tasks that have something to do, and of which nothing is known."""
        return [
            task.name
            for task in self._plan.tasks.values()
            if task.skip is None
            and task.name not in self._known
            and task.name not in self._programs
            and task.name not in self._resting
        ]

    def _count(self, name: str) -> int:
        """Return how many attempts of a task a run makes."""
        return self._counts.get(name) or self._plan.tasks[name].count or 1

    def _best(self, now: Mapping[str, str], movable: Sequence[str]) -> tuple[dict[str, str], float]:
        """Return the best modes that are found, from those of *now* and from what is usual.

        What computes apart, what waits here: two tasks that have it the other way round have to
        change both.
        """
        forced = {
            name: mode for name in movable if (mode := self._forced(name, now[name])) is not None
        }
        groups = self._groups(movable)
        best, best_s = self._improved({**now, **forced}, groups)
        usual = {name: self._usual(name) or now[name] for name in movable}
        if usual != {name: best[name] for name in movable}:
            other, other_s = self._improved({**now, **usual, **forced}, groups)
            if best_s - other_s >= max(WORTH * best_s, WORTH_S):
                best, best_s = other, other_s
        return self._settled(now, best, best_s, forced)

    def _usual(self, name: str) -> str | None:
        """Return the mode that is right by the rule of thumb, if it is one that can be had."""
        loads = self._loads.get((name, "thread"))
        held = self._gil and loads is not None and max(load.gil for load in loads) > _MOSTLY
        mode = "process" if held else "thread"
        return mode if self._can(name, mode) else None

    def _can(self, name: str, mode: str) -> bool:
        """Tell whether a task can have *mode*, and what that takes is known."""
        return (name, mode) in self._loads and (name, mode) not in self._barred

    def _forced(self, name: str, mode: str) -> str | None:
        """Return the mode that a task has to have instead of *mode*, whatever that takes."""
        if (name, mode) in self._barred:
            return next((other for other in FUNCTION_MODES if self._can(name, other)), None)
        if mode == "thread" and self._gil and self._known[name].holds_long:
            return "process" if self._can(name, "process") else None
        return None

    def _settled(
        self, now: Mapping[str, str], best: dict[str, str], best_s: float, forced: Collection[str]
    ) -> tuple[dict[str, str], float]:
        """Take back the changes that save nothing."""
        changed = [name for name in best if best[name] != now[name] and name not in forced]
        for names in [*self._swapped(now, best, changed), *([name] for name in changed)]:
            back = {name: now[name] for name in names if best[name] != now[name]}
            back_s = self.time({**best, **back}) if back and self._left > 0 else inf
            if back_s - best_s < WORTH_S / len(changed):
                best, best_s = {**best, **back}, back_s
        return best, best_s

    def _swapped(
        self, now: Mapping[str, str], best: Mapping[str, str], changed: Sequence[str]
    ) -> list[tuple[str, str]]:
        """Return pairs of tasks of one function that have changed places."""
        there: dict[tuple[str | None, str, str], list[str]] = {}
        for name in changed:
            key = self._plan.tasks[name].function, now[name], best[name]
            there.setdefault(key, []).append(name)
        return [
            pair
            for (function, before, after), names in there.items()
            if before < after
            for pair in zip(names, there.get((function, after, before), ()), strict=False)
        ]

    def _improved(
        self, modes: dict[str, str], groups: Sequence[Sequence[str]]
    ) -> tuple[dict[str, str], float]:
        """Change one mode after the other, each time the one that saves most; until none does."""
        took_s = self.time(modes)
        while self._left >= len(groups):
            found: tuple[float, dict[str, str]] | None = None
            for changes in self._changes(modes, groups):
                seconds = self.time({**modes, **changes})
                if found is None or seconds < found[0]:
                    found = seconds, changes
            if found is None or took_s - found[0] < max(WORTH * took_s, WORTH_S):
                return modes, took_s
            took_s = found[0]
            modes.update(found[1])
        return modes, took_s

    def _groups(self, movable: Sequence[str]) -> list[list[str]]:
        """Return the tasks that are moved together: each of the heaviest; all of one function."""
        heaviest = sorted(movable, key=self._weight, reverse=True)
        most = min(_MOST_TRIED, max(1, self._left // 4))
        groups = [[name] for name in heaviest[:most]]
        alike: dict[str | None, list[str]] = {}
        for name in movable:
            alike.setdefault(self._plan.tasks[name].function, []).append(name)
        return groups + [names for names in alike.values() if len(names) > 1][:most]

    def _changes(
        self, modes: Mapping[str, str], groups: Sequence[Sequence[str]]
    ) -> Iterator[dict[str, str]]:
        """Yield what may be changed of *modes*: each group, to each other mode that fits it."""
        for names in groups:
            for mode in FUNCTION_MODES:
                changes = {
                    name: mode
                    for name in names
                    if modes[name] != mode
                    and self._can(name, mode)
                    and not (mode == "thread" and self._gil and self._known[name].holds_long)
                }
                if changes:
                    yield changes

    def _weight(self, name: str) -> float:
        loads = self._loads.get((name, "thread"), [])
        sums = sum(load.seconds * max(load.gil, 0.01) for load in loads)
        return sums * self._count(name) / max(1, len(loads))

    def _unknown(self, task: PlanTask) -> Advice:
        return Advice(
            task.name, task.mode, task.mode, why_unknown(self._evidence.tasks[task.name]), "none",
            "none",
        )  # fmt: skip

    def _advice(
        self, task: PlanTask, advised: str, seconds: dict[str, float], *, explained: bool
    ) -> Advice:
        known = self._known[task.name]
        thread = known.shots.get("thread")
        load = known.load("thread") if thread else known.load(next(iter(known.shots)))
        assert load is not None
        why = Reasons(task, known, load, gil=self._gil)
        words = why.words(advised, seconds, starts_one=task.function in self._starters)
        evidence = "measured" if known.measured else f"{known.runs} recorded"
        return Advice(
            task.name, task.mode, advised, words, why.confidence(explained=explained),
            evidence, seconds, load.seconds,
        )  # fmt: skip


def _explained(wanted: float) -> float:
    """Return what share of something several may be seen to take that want so much of it."""
    return wanted * _ABOUT + _NEARLY
