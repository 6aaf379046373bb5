"""What ``orch advise`` does, without what it says to people."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from orchestrator.advice import edit
from orchestrator.advice.evidence import recorded
from orchestrator.advice.judge import Advice, Judge, Verdict, gil_is_on
from orchestrator.advice.measure import measurable, measure
from orchestrator.advice.trial import Trials
from orchestrator.loading import Loaded, cpus


def advice(
    loaded: Loaded,
    state: str,
    names: Collection[str],
    times: int,
    say: Callable[[str], None],
) -> tuple[Verdict, list[Any]]:
    """Return the advice for a job, and its hazards; with *names* those are measured first."""
    evidence = recorded(loaded, Path(state))
    if names:
        folder = mkdtemp(prefix="advise-", dir=_made(state))
        try:
            trials = Trials(loaded, evidence.outputs, folder)
            tasks = [task for task in measurable(loaded.plan) if task.name in names]
            measure(evidence, trials, loaded.plan, tasks, times, say)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    judge = Judge(loaded.plan, evidence, cpus(), gil=gil_is_on())
    return judge.verdict(), []


def _made(state: str) -> str:
    Path(state).mkdir(parents=True, exist_ok=True)
    return state


def document(
    loaded: Loaded, verdict: Verdict, shown: Sequence[Advice], hazards: Sequence[Any]
) -> dict[str, Any]:
    """Return the advice as JSON data."""
    return {
        "job": loaded.plan.name,
        "python": platform.python_version(),
        "gil": gil_is_on(),
        "cpus": cpus(),
        "now_s": _rounded(verdict.now_s),
        "advised_s": _rounded(verdict.advised_s),
        "tasks": {
            one.task: {
                "mode": one.mode,
                "advised": one.advised,
                "reason": one.reason,
                "confidence": one.confidence,
                "evidence": one.evidence,
                "seconds": {mode: round(value, 6) for mode, value in one.seconds.items()},
                "saves_s": round(one.saves_s, 6),
            }
            for one in shown
        },
        "hazards": [hazard.text() for hazard in hazards],
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


def apply(file: str, loaded: Loaded, shown: Sequence[Advice]) -> str:
    """Write the modes that are advised into *file*, and return the difference.

    Raises ``CannotEdit``.
    """
    modes = {one.task: one.advised for one in shown if one.advised != one.mode}
    if not modes:
        return ""
    before = loaded.data.decode("utf-8")
    after = edit.with_modes(before, modes)
    edit.write(file, loaded.data, after)
    return edit.difference(before, after, file)
