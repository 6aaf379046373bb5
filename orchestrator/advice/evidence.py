"""What is known of tasks: from recorded runs of the job, and from trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from orchestrator import jsonio
from orchestrator.advice.crowd import told_apart
from orchestrator.advice.replay import Load
from orchestrator.advice.trial import Shot, replace_fields, shots_of
from orchestrator.digests import Digests
from orchestrator.errors import JournalError
from orchestrator.events import Cost, Ended, Expanded, Finished, Started
from orchestrator.finding import runs
from orchestrator.journal import Record
from orchestrator.loading import Loaded
from orchestrator.plan.model import PlanTask
from orchestrator.pythons import tag
from orchestrator.runners.threads import SWITCH_INTERVAL_S

FUNCTION_MODES = ("thread", "process")  # those that are advised
BEGINS_S = 0.05  # what it takes to start orch with a file that it knows
_RUNS = 20  # the newest ones that are looked at
_TAKEN = 0.5  # share of the GIL from which on functions are in each other's way


@dataclass(slots=True)
class Known:
    """What is known of one task: shots by modes, from where, and the output of the newest run."""

    shots: dict[str, list[Shot]] = field(default_factory=dict)
    together: dict[str, float] = field(default_factory=dict)  # seconds of several at once
    copies: int = 1
    measured: bool = False
    runs: int = 0
    stale: int = 0  # runs of it as it was then: its code or its arguments were others
    chances: int = 0  # runs that came to their end, and in how many of those it was started
    starts: int = 0
    failed: bool = False  # an attempt did
    trouble: str | None = None  # why it could not be measured

    @property
    def rests(self) -> bool:
        """Whether it usually has nothing to do: its condition says no, or nothing fails."""
        return self.starts * 2 < self.chances

    def load(self, mode: str) -> Load | None:
        """Return what an attempt in *mode* takes alone; None where nothing tells."""
        own = self.shots.get(mode)
        if own:
            return _load(own, mode)
        if mode == "process" and self.shots.get("thread"):
            thread = _load(self.shots["thread"], "thread")
            return Load(thread.seconds + PROCESS_S, thread.cpu, 0.0, thread.waits)
        apart = next((other for other in ("process", "interpreter") if self.shots.get(other)), None)
        if apart is None:
            return None
        if mode != "thread":
            return _load(self.shots[apart], apart)
        inner_s = median(shot.cost.wall_s for shot in self.shots[apart])
        cpu_s = median(shot.cost.cpu_s or 0.0 for shot in self.shots[apart])
        waits = median(shot.cost.voluntary_switches or 0 for shot in self.shots[apart])
        cpu = min(1.0, cpu_s / inner_s) if inner_s > 0 else 0.0
        return Load(inner_s, cpu, cpu, waits)

    @property
    def spread(self) -> float:
        """By how much the attempts that are known differ, at most, from the middle one."""
        worst = 0.0
        for shots in self.shots.values():
            walls = sorted(shot.cost.wall_s for shot in shots)
            middle = median(walls)
            if len(walls) > 1 and middle > 0:
                worst = max(worst, (walls[-1] - walls[0]) / 2 / middle)
        return worst


PROCESS_S = 0.01  # what a process adds where it was never tried


def _load(shots: Sequence[Shot], mode: str) -> Load:
    """Return the load that *shots* in *mode* show."""
    seconds = median(_alone_s(shot, mode) for shot in shots)
    cpu_s = median(shot.cost.cpu_s or 0.0 for shot in shots)
    waits = median(_own_waits(shot) for shot in shots)
    cpu = min(1.0, cpu_s / seconds) if seconds > 0 else 0.0
    gil = median(_gil(shot.cost, cpu) for shot in shots) if mode == "thread" else 0.0
    return Load(seconds, cpu, gil, waits)


def _alone_s(shot: Shot, mode: str) -> float:
    """Return what the attempt would have taken alone."""
    return shot.cost.wall_s - shot.lost_s if mode == "thread" else shot.seconds


def _own_waits(shot: Shot) -> float:
    """Return how often it waited for something else than its turn."""
    return max(0.0, (shot.cost.voluntary_switches or 0) - shot.lost_s / SWITCH_INTERVAL_S)


def _gil(cost: Cost, cpu: float) -> float:
    """Return the share of its time for which a function wants the GIL.

    Alone it was seen; beside others only that one of them had it; where neither is known it is
    taken for granted that who computes holds it.
    """
    if cost.gil_share is not None:
        return min(cost.gil_share, max(cpu, 0.0)) if cpu > 0 else 0.0
    if cost.gil_taken_share is not None:
        return cpu if cost.gil_taken_share >= _TAKEN else min(cpu, cost.gil_taken_share)
    return cpu


@dataclass(slots=True)
class Evidence:
    """What is known of a job: of its tasks by names, of the outputs, of what a run begins with."""

    tasks: dict[str, Known]
    outputs: dict[str, Any] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    run_s: list[float] = field(default_factory=list)  # of whole runs as the job is now
    begins_s: float = BEGINS_S  # what passes before the first task starts
    server_s: float = 0.0  # and until the first process can be forked, from then on


def recorded(loaded: Loaded, state: Path, most: int | None = None) -> Evidence:
    """Return what the newest runs of the job in *state* tell.

    With *most* no more runs are looked at once they had so many events.
    """
    evidence = Evidence({name: Known() for name in loaded.plan.tasks})
    same = _digests(loaded)
    found = seen = 0
    for folder in runs(state):
        try:
            record = Record(folder)
            events = list(record.events())
        except JournalError:
            continue
        if (
            record.meta.get("job") != loaded.plan.name
            or record.meta.get("root") != loaded.plan.root
            or record.meta.get("runs_on") != tag()
        ):
            continue
        _take_in(evidence, loaded, record, events, same)
        found += 1
        seen += len(events)
        if found == _RUNS or (most is not None and seen > most):
            break
    return evidence


def of_one(loaded: Loaded, folder: Path) -> Evidence:
    """Return what one run of the job, as it is loaded, tells. Raises ``JournalError``."""
    evidence = Evidence({name: Known() for name in loaded.plan.tasks})
    record = Record(folder)
    _take_in(evidence, loaded, record, list(record.events()), _digests(loaded))
    return evidence


def _digests(loaded: Loaded) -> dict[str, dict[str, str]]:
    """Return what the digest of each function would be in each mode: digest to mode, by tasks."""
    digests = Digests(loaded.plan, loaded.draft.env, loaded.checker.module_file)
    found: dict[str, dict[str, str]] = {}
    for name, task in loaded.plan.tasks.items():
        found[name] = {digests.of(in_mode(task, mode)): mode for mode in modes_of(task)}
    return found


def modes_of(task: PlanTask) -> tuple[str, ...]:
    """Return the modes that are known of *task*: those that it could have, and its own."""
    if task.function is None:
        return (task.mode,)
    return FUNCTION_MODES if task.mode in FUNCTION_MODES else (*FUNCTION_MODES, task.mode)


def in_mode(task: PlanTask, mode: str) -> PlanTask:
    """Return *task* as it would be in *mode*."""
    found: PlanTask = replace_fields(task, mode=mode)
    return found


def _take_in(
    evidence: Evidence,
    loaded: Loaded,
    record: Record,
    events: Sequence[Any],
    same: Mapping[str, Mapping[str, str]],
) -> None:
    """Add what one run tells."""
    modes: dict[str, str] = {}
    for row in record.tasks:
        known = evidence.tasks.get(row.name)
        if known is None:
            continue
        mode = same[row.name].get(row.digest)
        if mode is None:
            known.stale += 1
        else:
            known.runs += 1
            modes[row.name] = mode
    _take_shots(evidence, events, modes)
    for event in events:
        if isinstance(event, Expanded):
            evidence.counts.setdefault(event.task, event.instances)
        elif isinstance(event, Ended) and event.outcome != "ok":
            name = event.task.partition(".")[0]
            if name in modes:
                evidence.tasks[name].failed = True
    last = events[-1] if events else None
    if isinstance(last, Finished) and last.state == "succeeded":
        as_now = len(modes) == len(loaded.plan.tasks) and all(
            task.mode == modes[name] for name, task in loaded.plan.tasks.items()
        )
        _take_whole(evidence, events, modes, as_now=as_now)


def _take_shots(evidence: Evidence, events: Sequence[Any], modes: Mapping[str, str]) -> None:
    """Add the attempts of the tasks that were what they are now, in these *modes*."""
    outputs: dict[str, Any] = {}
    names: list[str] = []
    threads: list[Shot] = []
    for name, shot, ended in shots_of(events):
        task = name.partition(".")[0]
        if task not in modes:
            continue
        outputs.setdefault(name, ended.output)
        if modes[task] == "thread":
            names.append(task)
            threads.append(shot)
        else:
            evidence.tasks[task].shots.setdefault(modes[task], []).append(shot)
    for task, shot in zip(names, told_apart(threads), strict=True):
        evidence.tasks[task].shots.setdefault("thread", []).append(shot)
    _keep_outputs(evidence, outputs)


def _take_whole(
    evidence: Evidence, events: Sequence[Any], modes: Mapping[str, str], *, as_now: bool
) -> None:
    """Add what a run tells that came to its end."""
    begun: dict[str, float] = {}
    for event in events:
        if isinstance(event, Started):
            begun.setdefault(event.task.partition(".")[0], event.at)
    for name in modes:
        evidence.tasks[name].chances += 1
        evidence.tasks[name].starts += name in begun
    if as_now and begun:
        begins = min(begun.values())
        evidence.begins_s = min(begins, evidence.begins_s if evidence.run_s else begins)
        evidence.run_s.append(events[-1].at)


def _keep_outputs(evidence: Evidence, outputs: Mapping[str, str | None]) -> None:
    """Keep outputs of a run for templates, where no newer run has one."""
    fresh: dict[str, Any] = {}
    for name, text in outputs.items():
        task, _, index = name.partition(".")
        if task in evidence.outputs:
            continue
        value = jsonio.loads(text or "null")
        if not index:
            fresh[task] = {"output": value}
            continue
        items = fresh.setdefault(task, {"output": []})["output"]
        items += [None] * (int(index) + 1 - len(items))
        items[int(index)] = value
    evidence.outputs.update(fresh)
