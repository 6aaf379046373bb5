"""What is known of tasks: from recorded runs of the job, and from trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from orchestrator import jsonio
from orchestrator.advice.crowd import served, told_apart
from orchestrator.advice.known import Known
from orchestrator.advice.modes import in_mode, modes_of
from orchestrator.advice.overhead import Overhead
from orchestrator.advice.shots import Shot, shots_of
from orchestrator.digests import Digests
from orchestrator.errors import JournalError
from orchestrator.events import Ended, Expanded, Finished, Resumed, Started
from orchestrator.finding import runs
from orchestrator.journal import Record
from orchestrator.loading import Loaded
from orchestrator.pythons import tag

_RUNS = 20  # the newest ones that are looked at
_EVENT_BYTES = 200  # more than most events take in a journal
_FAILURES = ("failed", "timed_out")


class Whole(NamedTuple):
    """A run in which nothing failed: the modes of all its tasks, and how many attempts it made."""

    seconds: float
    modes: Mapping[str, str]
    attempts: int


@dataclass(slots=True)
class Evidence:
    """What is known of a job: of its tasks by names, of the outputs, of what a run begins with.

    *wholes* are runs, as a whole, the newest first.
    """

    tasks: dict[str, Known]
    outputs: dict[str, Any] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    overhead: Overhead = field(default_factory=Overhead)
    wholes: list[Whole] = field(default_factory=list)
    too_large: int = 0  # runs that were not looked at

    def concluded(self) -> Evidence:
        """Return this, with what follows from all the runs that were looked at."""
        for known in self.tasks.values():
            known.bar_failures()
        return self


def recorded(loaded: Loaded, state: Path, most: int | None = None) -> Evidence:
    """Return what the newest runs of the job in *state* tell.

    With *most* no run is looked at that has more events, and none any more once they had so many.
    """
    evidence = Evidence({name: Known() for name in loaded.plan.tasks})
    same = _digests(loaded)
    found = seen = 0
    for folder in runs(state):
        if most is not None and _size(folder) > most * _EVENT_BYTES:
            evidence.too_large += 1
            continue
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
    return evidence.concluded()


def _size(folder: Path) -> int:
    try:
        return (folder / "journal.db").stat().st_size
    except OSError:
        return 0


def of_one(loaded: Loaded, folder: Path) -> Evidence:
    """Return what one run of the job, as it is loaded, tells. Raises ``JournalError``."""
    evidence = Evidence({name: Known() for name in loaded.plan.tasks})
    record = Record(folder)
    _take_in(evidence, loaded, record, list(record.events()), _digests(loaded))
    return evidence.concluded()


def _digests(loaded: Loaded) -> dict[str, dict[str, str]]:
    """Return what the digest of each function would be in each mode: digest to mode, by tasks."""
    digests = Digests(loaded.plan, loaded.draft.env, loaded.checker.module_file)
    found: dict[str, dict[str, str]] = {}
    for name, task in loaded.plan.tasks.items():
        found[name] = {digests.of(in_mode(task, mode)): mode for mode in modes_of(task)}
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
    _take_counts(evidence, events, modes)
    last = events[-1] if events else None
    chosen = record.meta.get("only") or record.meta.get("skip")  # then no condition kept it away
    if isinstance(last, Finished) and last.state == "succeeded" and not chosen:
        _take_whole(evidence, events, modes)
        # of a job whose runs wait for each other nobody knows when one could have begun
        if len(modes) == len(loaded.plan.tasks) and loaded.plan.concurrency != "wait":
            evidence.overhead.begun(events, processes="process" in modes.values())
            if _is_smooth(events):
                attempts = sum(isinstance(event, Started) for event in events)
                evidence.wholes.append(Whole(last.at, modes, attempts))


def _is_smooth(events: Sequence[Any]) -> bool:
    """Tell whether nothing failed or was cut off in a run: no attempt was made twice."""
    return not any(
        isinstance(event, Resumed) or (isinstance(event, Ended) and event.outcome != "ok")
        for event in events
    )


def _take_shots(evidence: Evidence, events: Sequence[Any], modes: Mapping[str, str]) -> None:
    """Add the attempts of the tasks that were what they are now, in these *modes*."""
    outputs: dict[str, Any] = {}
    names: list[str] = []
    threads: list[Shot] = []
    forked: list[tuple[str, Shot]] = []
    for name, shot, ended in shots_of(events):
        task = name.partition(".")[0]
        if task not in modes:
            continue
        outputs.setdefault(name, ended.output)
        if modes[task] == "thread":
            names.append(task)
            threads.append(shot)
        elif modes[task] == "process":
            forked.append((task, shot))
        else:
            evidence.tasks[task].shots.setdefault(modes[task], []).append(shot)
    for task, shot in zip(names, told_apart(threads), strict=True):
        evidence.tasks[task].shots.setdefault("thread", []).append(shot)
    _take_firsts(evidence, names, threads)
    _take_forked(evidence, forked)
    _keep_outputs(evidence, outputs)


def _take_counts(evidence: Evidence, events: Sequence[Any], modes: Mapping[str, str]) -> None:
    """Add how many instances there were, and what failed."""
    ended = {event.task for event in events if isinstance(event, Ended)}
    for event in events:
        if isinstance(event, Started) and event.task not in ended:
            name = event.task.partition(".")[0]
            evidence.tasks[name].cut_off |= name in modes
        elif isinstance(event, Expanded):
            evidence.counts.setdefault(event.task, event.instances)
        elif isinstance(event, Ended) and event.outcome in _FAILURES:
            name = event.task.partition(".")[0]
            if name in modes:
                evidence.tasks[name].has_failed(modes[name], event)


def _take_firsts(evidence: Evidence, names: Sequence[str], shots: Sequence[Shot]) -> None:
    """Add what the imports of a run took that threads made, by the tasks that waited for them."""
    took: dict[str, float] = {}
    for name, shot in zip(names, shots, strict=True):
        took[name] = max(took.get(name, 0.0), shot.cost.import_s or 0.0)
    for name, seconds in took.items():
        evidence.tasks[name].firsts.append(seconds)


def _take_forked(evidence: Evidence, forked: Sequence[tuple[str, Shot]]) -> None:
    """Add the processes of a run."""
    if not forked:
        return
    shots, server_s = served([shot for _, shot in forked])
    evidence.overhead.servers.append(server_s)
    for (task, _), shot in zip(forked, shots, strict=True):
        evidence.tasks[task].shots.setdefault("process", []).append(shot)


def _take_whole(evidence: Evidence, events: Sequence[Any], modes: Mapping[str, str]) -> None:
    """Add which tasks were started in a run that came to its end."""
    begun = {event.task.partition(".")[0] for event in events if isinstance(event, Started)}
    for name in modes:
        evidence.tasks[name].chances += 1
        evidence.tasks[name].starts += name in begun


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
