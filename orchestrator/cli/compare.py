"""``orch compare FILE TASK``: a task in every mode that fits it."""

from typing import Annotated

import typer

from orchestrator.cli import given, options
from orchestrator.cli.asking import ask, measuring, sayer
from orchestrator.cli.console import emit, emit_json, table
from orchestrator.errors import UsageError
from orchestrator.loading import Loaded, load
from orchestrator.places import state_directory
from orchestrator.plan.model import PlanTask
from orchestrator.spec.durations import show_finely
from orchestrator.spec.words import did_you_mean, printable, quote


def compare(  # noqa: PLR0913, PLR0917 - the options of a command line
    file: options.File,
    task: Annotated[str, typer.Argument(metavar="TASK", help="The task to run.")],
    times: options.Times = 3,
    yes: options.Yes = False,
    params: options.Params = None,
    as_json: options.AsJson = False,
    state_dir: options.StateDir = None,
    no_keeper: options.NoKeeper = False,
) -> None:
    """Run TASK of FILE in every mode that fits it, and show what each takes, side by side.

    It is run alone, some times, and several times at once, with all it does.
    """
    loaded = load(file, given.choices(params), data=given.job_bytes(file))
    found = loaded.plan.tasks.get(task)
    if found is None:
        raise UsageError(f"no task {quote(task)}{did_you_mean(task, loaded.plan.tasks)}")
    if found.consume or found.publish or found.source:
        raise UsageError(f"{quote(task)} is joined with others by a queue: it cannot run by itself")
    _ask(loaded, found, times, yes=yes)
    tell = sayer(quiet=as_json)
    state = state_directory(loaded.plan.root, state_dir)
    with measuring(kept=not no_keeper):
        from orchestrator.advice import comparing  # noqa: PLC0415 - after the fork

        measured, failed = comparing.compare(loaded, state, found, times, tell)
    if as_json:
        emit_json({
            "task": task,
            "modes": [
                {"mode": one.way.mode, "start": one.way.start, "seconds": one.seconds,
                 "cpu_s": one.cpu_s, "startup_s": one.startup_s,
                 "peak_memory_bytes": one.peak_memory_bytes, "at_once": one.at_once,
                 "together_s": one.together_s, "lost_parallelism": one.lost}
                for one in measured
            ],
            "failed": [
                {"mode": way.mode, "start": way.start, "why": why} for way, why in failed.items()
            ],
        })  # fmt: skip
        return
    at_once = measured[0].at_once
    rows = [["MODE", "ALONE", "START", "CPU", "MEMORY", f"{at_once} AT ONCE", "LOST"]]
    for one in measured:
        peak = one.peak_memory_bytes
        rows.append([
            str(one.way).replace("`", ""), show_finely(one.seconds),
            "" if one.startup_s is None else show_finely(one.startup_s),
            "" if one.cpu_s is None else show_finely(one.cpu_s),
            "" if peak is None else f"{peak / 2**20:,.0f} MiB",
            show_finely(one.together_s), f"{one.lost:.0%}",
        ])  # fmt: skip
    emit(table(rows, right=frozenset(range(1, 7))))
    for way, why in failed.items():
        emit(f"as {str(way).replace('`', '')} it {printable(why)}\n")


def _ask(loaded: Loaded, task: PlanTask, times: int, *, yes: bool) -> None:
    """Ask whether the task may be run. Raises ``UsageError``, ``EnvironmentFault``."""
    from orchestrator.advice.measure import most_attempts  # noqa: PLC0415 - after the checks

    most = most_attempts(loaded.plan, task, times)
    ask(f"compare runs {quote(task.name)} up to {most} times in each mode", yes=yes)
