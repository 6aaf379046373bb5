"""How long a job would take: the scheduler itself, a clock that jumps, work that is shared.

Each task is a *load*: what it takes alone, and which share of that it wants a processor, and the
GIL. Those that run at the same time share both, each getting what it wants as long as there is
enough, and equal parts of what is left otherwise (max-min fairness). A function that waits often
beside others that hold the GIL comes back late from each wait, by one switch interval for each of
them. What this leaves out (memory, disks, locks) makes it a lower bound.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from orchestrator.events import Decided, Ended, Expanded, Started
from orchestrator.nodes import Resolve
from orchestrator.plan.model import NO_RETRY, Plan, PlanTask
from orchestrator.runners.threads import SWITCH_INTERVAL_S
from orchestrator.scheduler import Scheduler

_NOTHING_S = 1e-9
HOG = 0.5  # the share of the GIL from which on a function is in the way of others


@dataclass(frozen=True, slots=True)
class Load:
    """What an attempt takes alone, from its launch to its end.

    *cpu* and *gil* are the shares of *seconds* during which it wants a processor, and the GIL, more
    than 1 for what computes on several, or is more than twice as slow where there are two of it;
    *waits* is how often it waits for something. *alike* is the share of something that only
    attempts of the same task have in common: a lock, a disk, what computes for them elsewhere.
    """

    seconds: float
    cpu: float = 0.0
    gil: float = 0.0
    waits: float = 0.0
    alike: float = 0.0


def simplified(
    plan: Plan,
    modes: Mapping[str, str],
    counts: Mapping[str, int],
    resting: Collection[str] = (),
) -> Plan:
    """Return *plan* as it is replayed: order, slots and instances; no failures, tries, queues.

    *modes* are those to be tried, *counts* the instances of tasks that only a run tells of;
    *resting* are tasks whose condition is false.
    """
    tasks = {}
    for name, task in plan.tasks.items():
        count = counts.get(name) if task.count is None and task.many else task.count
        mode = modes.get(name, task.mode)
        tasks[name] = PlanTask(
            name, task.order, mode,  # type: ignore[arg-type]
            function=task.function, needs=task.needs, items=None if count is None else [0] * count,
            run_when=task.run_when, when=False if name in resting else None,
            priority=task.priority, retry=NO_RETRY, skip=task.skip, resources=task.resources,
        )  # fmt: skip
    return Plan(
        plan.name, plan.root, tasks, threads=plan.threads, processes=plan.processes,
        resources=plan.resources,
    )  # fmt: skip


def replay(
    plan: Plan,
    loads: Mapping[str, Sequence[Load]],
    cpus: float,
    *,
    free_threads: bool = False,
    ready_s: float = 0.0,
    imports: Mapping[str, float] | None = None,
) -> float:
    """Return the seconds from the first start to the last end; *loads* of instances, by tasks.

    With *free_threads* nobody waits for the GIL. Processes can be forked from *ready_s* on. The
    first function of a module on a thread imports it, for as many seconds as *imports* has for
    it by name, and those that are launched meanwhile wait for that.
    """
    scheduler = Scheduler(plan)
    imported: dict[str, float] = {}
    under_way: dict[str, _Running] = {}
    now = 0.0
    while True:
        for action in scheduler.decide(now):
            if isinstance(action, Resolve):  # of unknown items there are none
                rests = plan.tasks[action.task].when is False
                said = Decided(action.task, False, now), Expanded(action.task, "[]", 0, now)
                scheduler.apply(said[not rests])
            elif isinstance(action, Started):
                name, _, index = action.task.partition(".")
                each, mode = loads.get(name, _NO_LOAD), plan.tasks[name].mode
                load = each[int(index or 0) % len(each)]
                begins = now
                if mode == "process":
                    begins = ready_s
                elif mode == "thread":
                    module = module_of(plan.tasks[name])
                    takes_s = (imports or {}).get(module, 0.0)
                    begins = imported.setdefault(module, now + takes_s)
                idle_s = max(0.0, begins - now)
                under_way[action.task] = _Running(name, load, mode, load.seconds, idle_s)
        if not under_way:
            return now
        now += _step(under_way, cpus, free_threads=free_threads)
        for name in [name for name, one in under_way.items() if one.is_over]:
            del under_way[name]
            number = scheduler.nodes[name].attempt
            scheduler.apply(Ended(name, number, "ok", now, output="null"))


def module_of(task: PlanTask) -> str:
    """Return the name of the module that the task's function is from."""
    return (task.function or "").partition(":")[0]


_NO_LOAD = (Load(0.0),)


@dataclass(slots=True)
class _Running:
    """An attempt under way; *left* are seconds that it would take alone.

    Before those it wants nothing: for *idle* seconds it waits for what is no attempt.
    """

    task: str
    load: Load
    mode: str
    left: float
    idle: float

    @property
    def is_over(self) -> bool:
        """Whether it has come to its end."""
        return self.left <= _NOTHING_S >= self.idle


def _step(under_way: Mapping[str, _Running], cpus: float, *, free_threads: bool) -> float:
    """Go on until the next one ends or has waited, and return how long that takes."""
    each = [one for one in under_way.values() if one.idle <= _NOTHING_S]
    idle = [one for one in under_way.values() if one.idle > _NOTHING_S]
    speeds = _speeds(each, cpus, free_threads=free_threads)
    ends = [one.left / speed for one, speed in zip(each, speeds, strict=True)]
    seconds = min(ends + [one.idle for one in idle])
    for one, speed in zip(each, speeds, strict=True):
        one.left -= seconds * speed
    for one in idle:
        one.idle -= seconds
    return seconds


def _speeds(each: Sequence[_Running], cpus: float, *, free_threads: bool) -> list[float]:
    """Return how fast each gets on, by 1 alone."""
    if len(each) == 1:
        return [1.0]
    threads = [one.mode == "thread" and not free_threads for one in each]
    gil = _fair([one.load.gil * on for one, on in zip(each, threads, strict=True)], 1.0)
    hogs = sum(one.load.gil > HOG for one, on in zip(each, threads, strict=True) if on)
    late = []
    for one, on in zip(each, threads, strict=True):
        in_its_way = hogs - (one.load.gil > HOG) if on else 0
        lost_s = one.load.waits * SWITCH_INTERVAL_S * in_its_way
        late.append(one.load.seconds / (one.load.seconds + lost_s) if lost_s else 1.0)
    speeds = [min(limits) for limits in zip(gil, late, _alike(each), strict=True)]
    wanted = [one.load.cpu * speed for one, speed in zip(each, speeds, strict=True)]
    cpu = _fair(wanted, cpus)
    return [speed * share for speed, share in zip(speeds, cpu, strict=True)]


def _alike(each: Sequence[_Running]) -> list[float]:
    """Return which part of what it shares with those of its own task each gets: first come first.

    So those who wait for a lock end one by one, and leave their slots to others. Those who are
    slower together than one by one all get the same.
    """
    counts = Counter(one.task for one in each if one.load.alike > 1)
    left: dict[str, float] = {}
    speeds = []
    for one in each:
        speed = 1.0
        if one.load.alike > 1:
            speed = 1.0 / (one.load.alike * counts[one.task])
        elif one.load.alike > 0:
            rest = left.get(one.task, 1.0)
            speed = max(_NOTHING_S, min(1.0, rest / one.load.alike))
            left[one.task] = max(0.0, rest - one.load.alike)
        speeds.append(speed)
    return speeds


def _fair(wanted: list[float], most: float) -> list[float]:
    """Return which part of what it wants each gets of *most*: the least first, then equal parts."""
    part = [1.0] * len(wanted)
    left, others = most, sum(want > 0 for want in wanted)
    for index in sorted(range(len(wanted)), key=wanted.__getitem__):
        want = wanted[index]
        if want <= 0:
            continue
        got = min(want, left / others)
        part[index] = got / want
        left -= got
        others -= 1
    return part
