"""What ``orch advise`` does, without what it says to people."""

from __future__ import annotations

import os
import platform
import shlex
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from orchestrator import jsonio
from orchestrator.advice import edit, kept
from orchestrator.advice.evidence import of_one, recorded
from orchestrator.advice.judge import Advice, Judge, Verdict
from orchestrator.advice.measure import measurable, measure
from orchestrator.advice.trial import Interrupted, Trials, its_turn, workshop
from orchestrator.errors import OrchError, SpecError
from orchestrator.hazards import Hazard, hazards, starters
from orchestrator.loading import Loaded, cpus, load
from orchestrator.places import STATE_DIR, relative
from orchestrator.pythons import gil_is_on
from orchestrator.spec.durations import show

_SHOWN, _SUSPECTS = 3, 20
_AT_THE_END = 10_000  # attempts to be gone through where nobody has asked: a quarter of a second


def advice(
    loaded: Loaded,
    state: str,
    names: Collection[str] | None,
    times: int | None,
    say: Callable[[str], None],
) -> tuple[Verdict, list[Hazard]]:
    """Return the advice for a job, and its hazards; with *times* it is measured first.

    With *names* it is only about those.
    """
    evidence = recorded(loaded, Path(state))
    kept.recall(evidence, loaded, state)
    if times is not None:
        tasks = measurable(loaded.plan, names)
        with its_turn(loaded.plan, state, "a measurement"), workshop(state) as folder:
            trials = Trials(loaded, evidence.outputs, folder, say, asked_for=names or ())
            try:
                try:
                    measure(evidence, trials, loaded.plan, tasks, times, say)
                finally:  # a signal may have ended it: what was seen until then took minutes, too
                    kept.keep(evidence, loaded, state, [task.name for task in tasks])
            except Interrupted:
                if any(evidence.tasks[task.name].measured for task in tasks):
                    say("what was measured until here is kept: the next `orch advise` goes by it")
                raise
    functions = [task.function for task in loaded.plan.tasks.values() if task.function is not None]
    judge = Judge(
        loaded.plan, evidence, cpus(), gil=gil_is_on(),
        starters=starters(dict.fromkeys(functions), loaded.plan.root),
    )  # fmt: skip
    return judge.verdict(names), hazards(loaded.plan)[:_SUSPECTS]


def of_run(loaded: Loaded, folder: str) -> Verdict:
    """Return the advice that follows from one run, for the tasks whose modes are in the file."""
    evidence = of_one(loaded, Path(folder))
    judge = Judge(loaded.plan, evidence, cpus(), gil=gil_is_on(), effort=_AT_THE_END)
    return judge.verdict([name for name, task in loaded.plan.tasks.items() if not task.auto])


def line(
    changes: Sequence[Advice], attempts: int, saved_s: float, loaded: Loaded, state: str
) -> str:
    """Return the one line of advice at the end of a run, which is recorded in *state*."""
    names = ", ".join(f"`{one.task}`" for one in changes[:_SHOWN])
    if len(changes) > _SHOWN:
        names += f" and {len(changes) - _SHOWN} more"
    following = f" ({_asked(loaded, state)})" if loaded.file is not None else ""
    return (
        f"{attempts} thread tasks took turns on the GIL: `mode: process` for {names} would save "
        f"about {show(saved_s)}{following}"
    )


def _asked(loaded: Loaded, state: str) -> str:
    """Return the command that says more, with what the run was given."""
    given = loaded.choices.params.items()
    options = [part for name, value in given for part in ("-p", f"{name}={_as_given(value)}")]
    if state != os.path.join(loaded.plan.root, STATE_DIR):
        options += ["--state-dir", relative(state)]
    return shlex.join(["orch", "advise", os.path.relpath(loaded.file or ""), *options])


def _as_given(value: Any) -> str:
    return value if isinstance(value, str) else jsonio.compact(value)


def document(
    loaded: Loaded, verdict: Verdict, shown: Sequence[Advice], found: Sequence[Hazard]
) -> dict[str, Any]:
    """Return the advice as JSON data."""
    return {
        "job": loaded.plan.name,
        "python": platform.python_version(),
        "gil": gil_is_on(),
        "cpus": cpus(),
        "now_s": _rounded(verdict.now_s),
        "advised_s": _rounded(verdict.advised_s),
        "recorded_s": _rounded(verdict.recorded_s),
        "unknown": verdict.unknown,
        "failing": verdict.failing,
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
        "hazards": [
            {
                "tasks": list(one.tasks),
                "resource": one.resource,
                "why": one.why,
                "places": [str(place) for place in one.places],
                "ways": list(one.ways),
            }
            for one in found
        ],
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


def apply(file: str, loaded: Loaded, shown: Sequence[Advice]) -> str:
    """Write the modes that are advised into *file*, and return the difference.

    Raises ``CannotEdit``, ``EnvironmentFault``.
    """
    modes = {one.task: one.advised for one in shown if one.advised != one.mode}
    if not modes:
        return ""
    before = loaded.data.decode("utf-8")
    after = edit.with_modes(before, modes)
    try:
        load(file, loaded.choices, data=after.encode())
    except OrchError as error:
        reports = error.reports if isinstance(error, SpecError) else ()
        problem = reports[0].problem.message if reports else str(error).splitlines()[0]
        raise edit.CannotEdit(f"that would not be a job any more: {problem}") from None
    edit.write(file, loaded.data, after)
    return edit.difference(before, after, file)
