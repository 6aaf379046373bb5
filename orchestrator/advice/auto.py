"""``mode: auto``: thread or process as earlier runs have shown, and then the same from run to run.

What was decided is pinned in ``modes.lock`` in the state directory, by what the task is: with other
code, other arguments or another Python it is decided anew.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from orchestrator.advice import kept
from orchestrator.advice.evidence import recorded
from orchestrator.advice.judge import Judge
from orchestrator.advice.modes import in_mode
from orchestrator.digests import Digests
from orchestrator.errors import EnvironmentFault
from orchestrator.loading import Loaded, cpus
from orchestrator.places import state_directory
from orchestrator.pythons import gil_is_on, tag

FILE = "modes.lock"
# A run waits for this: about a quarter of a second for each of the two.
_MOST_EVENTS, _EFFORT = 20_000, 10_000
_KEYS = ("mode", "of", "why")


def settle(loaded: Loaded, state_dir: str | None, *, only_recall: bool = False) -> None:
    """Give each task of *loaded* that leaves it open a mode, and say why in ``chosen``.

    With *only_recall* nothing is decided: what is not pinned yet is a thread.
    Raises ``EnvironmentFault`` where what was decided can be neither read nor kept.
    """
    plan = loaded.plan
    state = state_directory(plan.root, state_dir)
    digests = Digests(plan, loaded.draft.env, loaded.checker.module_file)
    open_ = {
        name: f"{digests.of(in_mode(task, 'thread'))} {tag()}"
        for name, task in plan.tasks.items()
        if task.auto
    }
    path = f"{state}/{FILE}"
    known = _read(path).get(plan.name, {})
    chosen = {name: known[name] for name, of in open_.items() if _is_of(known.get(name), of)}
    unpinned = {name: of for name, of in open_.items() if name not in chosen}
    unknown = "nothing is known of it yet"
    if unpinned and not only_recall:
        fresh = _decided(loaded, state, unpinned)
        if fresh is None:  # a run waits for this
            unknown = "the job's runs are too large to be looked at before one: orch advise tells"
            fresh = {}
        if fresh:
            pinned = _read(path)  # another job may have written meanwhile
            _write(path, {**pinned, plan.name: {**pinned.get(plan.name, {}), **fresh}})
        chosen.update(fresh)
    for name in open_:
        mode, reason = "thread", unknown
        if name in chosen:
            mode, reason = chosen[name]["mode"], chosen[name]["why"]
        plan.tasks[name].mode = "process" if mode == "process" else "thread"
        loaded.chosen[name] = mode, reason


def _decided(loaded: Loaded, state: str, tasks: dict[str, str]) -> dict[str, dict[str, str]] | None:
    """Return what earlier runs say of *tasks*, as far as they say something.

    None where those are too large.
    """
    evidence = recorded(loaded, Path(state), _MOST_EVENTS)
    kept.recall(evidence, loaded, state)
    if evidence.too_large:
        return None
    judge = Judge(loaded.plan, evidence, cpus(), gil=gil_is_on(), effort=_EFFORT)
    verdict = judge.verdict()
    found = {}
    for name, digest in tasks.items():
        advice, failures = verdict.tasks[name], evidence.tasks[name].failures
        if advice.evidence != "none":
            found[name] = {"mode": advice.advised, "why": advice.reason, "of": digest}
        elif "thread" in failures and "process" not in failures:  # it may be at home there
            why = f"as `thread` it failed: {failures['thread']}"
            found[name] = {"mode": "process", "why": why, "of": digest}
    return found


def _read(path: str) -> dict[str, Any]:
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise EnvironmentFault(f"{path} cannot be read: {error}; remove it") from None
    if not _is_ours(found):
        raise EnvironmentFault(f"{path} is not what orch has written; remove it")
    return dict(found)


def _is_ours(found: Any) -> bool:
    """Tell whether it is modes by names of tasks, by names of jobs."""
    jobs = found.values() if isinstance(found, dict) else [None]
    tasks = [task for job in jobs for task in (job.values() if isinstance(job, dict) else [None])]
    return all(
        isinstance(task, dict) and all(isinstance(task.get(key), str) for key in _KEYS)
        for task in tasks
    )


def _is_of(entry: dict[str, str] | None, of: str) -> bool:
    """Tell whether *entry* is for a task as it is now."""
    return entry is not None and entry["of"] == of


def _write(path: str, pinned: dict[str, Any]) -> None:
    beside = f"{path}.{os.getpid()}"
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        with open(beside, "w", encoding="utf-8") as file:
            json.dump(pinned, file, indent=1, sort_keys=True, ensure_ascii=False)
            file.write("\n")
        os.replace(beside, path)
    except OSError as error:
        raise EnvironmentFault(
            f"{path} cannot be written: {(error.strerror or '').lower()}"
        ) from None
