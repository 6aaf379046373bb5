"""``orch advise FILE``: thread or process, from evidence."""

import os
import sys
from typing import Annotated, Any

import typer

from orchestrator import keeper
from orchestrator.cli import given, options
from orchestrator.cli.console import emit, emit_json, say, table
from orchestrator.errors import EnvironmentFault, UsageError
from orchestrator.loading import Loaded, load
from orchestrator.places import STDIN, state_directory
from orchestrator.spec.durations import show
from orchestrator.spec.words import printable, quote

_TIMES = 3


def advise(  # noqa: PLR0913, PLR0917 - the options of a command line
    file: options.File,
    tasks: Annotated[
        list[str] | None, typer.Option("--task", metavar="TASK", help="Only this one; repeatable.")
    ] = None,
    measure: Annotated[
        bool,
        typer.Option("--measure", help="Run the functions, alone and together, in each mode."),
    ] = False,
    times: Annotated[
        int, typer.Option("--times", min=1, max=100, help="How often each runs alone.")
    ] = _TIMES,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before running them.")] = False,
    apply: Annotated[
        bool, typer.Option("--apply", help="Write the modes that are advised into FILE.")
    ] = False,
    params: options.Params = None,
    as_json: options.AsJson = False,
    state_dir: options.StateDir = None,
    _no_keeper: options.NoKeeper = False,
) -> None:
    """Say which tasks of FILE should be threads, and which processes, and why.

    From recorded runs of the job; with --measure by running its functions. Exit code 0, however
    much there is to change.
    """
    data = given.job_bytes(file)
    loaded = load(file, given.choices(params), data=data)
    if apply and file == STDIN:
        raise UsageError("--apply: there is no file to write to")
    wanted = _wanted(loaded, tasks)
    if measure:
        _ask(loaded, wanted, times, yes=yes, as_json=as_json)
        keeper.keep()  # from here on it runs what may have to be killed
    from orchestrator.advice import advising  # noqa: PLC0415 - after the fork

    state = state_directory(loaded.plan.root, state_dir)
    verdict, hazards = advising.advice(
        loaded, state, wanted if measure else (), times, _quiet if as_json else say
    )
    shown = [advice for name, advice in verdict.tasks.items() if not tasks or name in tasks]
    if as_json:
        emit_json(advising.document(loaded, verdict, shown, hazards))
    else:
        emit(_text(loaded, verdict, shown))
        for hazard in hazards:
            say(f"orch: warning: {printable(hazard.text())}")
    if apply:
        changed = advising.apply(file, loaded, shown)
        if not as_json:
            emit(changed or "nothing to change\n")


def _quiet(_text: str) -> None:
    """Say nothing: stdout is a document, and stderr is for what is wrong."""


def _wanted(loaded: Loaded, names: list[str] | None) -> tuple[str, ...]:
    """Return the functions that are asked for, or all. Raises ``UsageError``."""
    functions = [name for name, task in loaded.plan.tasks.items() if task.function is not None]
    for name in names or ():
        if name not in loaded.plan.tasks:
            raise UsageError(f"--task: no task {quote(name)}")
        if name not in functions:
            raise UsageError(f"--task: {quote(name)} is a program: it has one mode")
    return tuple(names or functions)


def _ask(loaded: Loaded, names: tuple[str, ...], times: int, *, yes: bool, as_json: bool) -> None:
    """Ask whether the functions may be run. Raises ``UsageError`` where nobody can be asked."""
    from orchestrator.advice.measure import measurable  # noqa: PLC0415 - if asked for

    found = [task for task in measurable(loaded.plan) if task.name in names]
    if yes or not found:
        return
    functions = ", ".join(sorted({printable(task.function or "") for task in found}))
    text = (
        f"--measure runs {functions} up to {times * 6 + 18} times each, on threads and in "
        "processes, with all they do"
    )
    if as_json or not sys.stdin.isatty() or not os.isatty(2):
        raise UsageError(f"{text}: say that you want it with --yes")
    say(f"orch: {text}.")
    sys.stderr.write("Run them? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise EnvironmentFault("nothing was run")


def _text(loaded: Loaded, verdict: Any, shown: list[Any]) -> str:
    if not shown:
        return f"{printable(loaded.plan.name)} has no functions: programs have one mode\n"
    rows = [["TASK", "MODE", "ADVISED", "SURE", "WHY"]]
    for advice in shown:
        arrow = advice.advised if advice.advised != advice.mode else "-"
        rows.append([advice.task, advice.mode, arrow, advice.confidence, advice.reason])
    text = table(rows)
    if verdict.now_s is None:
        return text + "\nnothing is known of it yet; next: orch advise --measure\n"
    changes = [advice for advice in verdict.tasks.values() if advice.advised != advice.mode]
    if not changes:
        return text + f"\nthe modes are right: a run takes about {show(verdict.now_s)}\n"
    saved = 1 - verdict.advised_s / verdict.now_s
    return text + (
        f"\nas advised a run takes about {show(verdict.advised_s)} instead of "
        f"{show(verdict.now_s)} ({saved:.0%} less); next: orch advise --apply\n"
    )
