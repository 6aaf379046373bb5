"""``mode: auto``: thread or process as earlier runs have shown, and then the same from run to run.

What was decided is pinned in ``modes.lock`` in the state directory, by what the task is: with other
code, other arguments or another Python it is decided anew.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from orchestrator.advice.evidence import in_mode, recorded
from orchestrator.advice.judge import Judge
from orchestrator.digests import Digests
from orchestrator.errors import EnvironmentFault
from orchestrator.loading import Loaded, cpus
from orchestrator.places import state_directory
from orchestrator.pythons import gil_is_on, tag

FILE = "modes.lock"


def settle(loaded: Loaded, state_dir: str | None) -> None:
    """Give each task of *loaded* that leaves it open a mode, and say why in ``chosen``.

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
    pinned = _read(path)
    known = pinned.get(plan.name, {})
    fresh: dict[str, dict[str, str]] = {}
    unpinned = [name for name, digest in open_.items() if known.get(name, {}).get("of") != digest]
    if unpinned:
        fresh = _decided(loaded, state, {name: open_[name] for name in unpinned})
    for name in open_:
        entry = fresh.get(name) or (known.get(name) if name not in unpinned else None)
        mode, reason = "thread", "nothing is known of it yet"
        if entry is not None:
            mode, reason = entry["mode"], entry["why"]
        plan.tasks[name].mode = "process" if mode == "process" else "thread"
        loaded.chosen[name] = mode, reason
    if fresh:
        _write(path, {**pinned, plan.name: {**known, **fresh}})


def _decided(loaded: Loaded, state: str, tasks: dict[str, str]) -> dict[str, dict[str, str]]:
    """Return what earlier runs say of *tasks*, as far as they say something."""
    evidence = recorded(loaded, Path(state))
    verdict = Judge(loaded.plan, evidence, cpus(), gil=gil_is_on()).verdict()
    return {
        name: {"mode": advice.advised, "why": advice.reason, "of": digest}
        for name, digest in tasks.items()
        if (advice := verdict.tasks[name]).evidence != "none"
    }


def _read(path: str) -> dict[str, Any]:
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise EnvironmentFault(f"{path} cannot be read: {error}; remove it") from None
    if not isinstance(found, dict) or not all(isinstance(job, dict) for job in found.values()):
        raise EnvironmentFault(f"{path} is not what orch has written; remove it")
    return found


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
