"""What was measured, kept in the state directory: what took minutes to see is not forgotten.

It counts for as long as the task is what it was, on the same Python; measuring again replaces it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from orchestrator.advice.evidence import Evidence
from orchestrator.advice.known import Crowd, Known
from orchestrator.advice.modes import in_mode
from orchestrator.advice.overhead import Overhead
from orchestrator.advice.shots import Shot
from orchestrator.digests import Digests
from orchestrator.events import Cost
from orchestrator.loading import Loaded
from orchestrator.pythons import tag

FILE = "measured.json"


def keep(evidence: Evidence, loaded: Loaded, state: str, names: Collection[str]) -> None:
    """Write down what was measured of tasks *names*; a disk that is full is no reason to fail."""
    path = Path(state, FILE)
    jobs = _read(path)
    job, marks, overhead = jobs.get(loaded.plan.name), _marks(loaded), evidence.overhead
    kept = job.get("tasks") if isinstance(job, dict) else None
    tasks = {name: kept[name] for name in marks if name in kept} if isinstance(kept, dict) else {}
    for name in names:
        if evidence.tasks[name].measured:
            tasks[name] = {"of": marks[name], **_written(evidence.tasks[name])}
    jobs[loaded.plan.name] = {
        "tasks": tasks,
        "runs": [overhead.begins.get(False, []), overhead.begins.get(True, []), overhead.servers],
        "imports": overhead.imports,
    }
    beside = path.with_name(f"{FILE}.{os.getpid()}")
    with suppress(OSError):
        beside.write_text(json.dumps(jobs), encoding="utf-8")
        beside.replace(path)


def recall(evidence: Evidence, loaded: Loaded, state: str) -> None:
    """Add what was measured of tasks that are still what they were, and of runs meanwhile."""
    job = _read(Path(state, FILE)).get(loaded.plan.name)
    if job is None:
        return
    marks = _marks(loaded)
    # of another orch, or damaged: as if it were not there
    with suppress(LookupError, TypeError, ValueError, AttributeError):
        found = {
            name: _taken_up(entry)
            for name, entry in job["tasks"].items()
            if entry["of"] == marks.get(name)
        }
        without, beside, servers = job["runs"]
        seen = Overhead(
            {False: _numbers(without), True: _numbers(beside)}, _numbers(servers),
            dict(zip(job["imports"], _numbers(job["imports"].values()), strict=True)),
        )  # fmt: skip
        for name, known in found.items():
            before = evidence.tasks[name]
            known.chances, known.starts = before.chances, before.starts
            known.failures, known.crash = before.failures, before.crash
            known.runs = before.runs
            known.bar_failures()
            evidence.tasks[name] = known
        if found:
            evidence.overhead.learn(seen)


def _marks(loaded: Loaded) -> dict[str, str]:
    """Return what tells whether a task is what it was, whatever mode it has now, by names."""
    digests = Digests(loaded.plan, loaded.draft.env, loaded.checker.module_file)
    return {
        name: f"{digests.of(in_mode(task, 'thread'))} {tag()}"
        for name, task in loaded.plan.tasks.items()
        if task.function is not None
    }


def _written(known: Known) -> dict[str, Any]:
    return {
        "shots": {
            mode: [[shot.seconds, list(shot.cost), shot.lost_s, shot.item] for shot in shots]
            for mode, shots in known.shots.items()
        },
        "together": {mode: list(crowd) for mode, crowd in known.together.items()},
        "first_s": known.first_s,
        "barred": known.barred,
    }


def _taken_up(entry: dict[str, Any]) -> Known:
    shots = {mode: list(map(_shot, listed)) for mode, listed in entry["shots"].items() if listed}
    if not shots:
        raise ValueError(entry)
    return Known(
        shots,
        {mode: Crowd(*_numbers(crowd)) for mode, crowd in entry["together"].items()},
        measured=True,
        first_s=float(entry["first_s"]),
        barred={mode: str(why) for mode, why in entry["barred"].items()},
    )


def _shot(listed: list[Any]) -> Shot:
    seconds, cost, lost_s, item = listed
    seconds, lost_s = _numbers([seconds, lost_s])
    took: list[Any] = [None if part is None else _number(part) for part in cost]
    return Shot(seconds, Cost(*took), 0.0, seconds, lost_s, None if item is None else int(item))


def _numbers(listed: Iterable[Any]) -> list[float]:
    return [_number(part) for part in listed]


def _number(value: Any) -> float:
    if not isinstance(value, int | float):
        raise TypeError(value)
    return value


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
