"""``orch resume [RUN]``: finish a run that failed, was stopped, or was cut off."""

from typing import Annotated

import typer

from orchestrator.cli import given, options, session
from orchestrator.cli.console import emit_json, say
from orchestrator.report.document import View
from orchestrator.resuming import resumed
from orchestrator.running import Run


def resume(  # noqa: PLR0913, PLR0917 - the options of a command line
    run: options.RunName = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse if any task is not what it was.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Start tasks again that twice ended orch itself.")
    ] = False,
    as_json: options.AsJson = False,
    events: options.Events = False,
    log_format: options.LogForm = options.LogFormat.auto,
    log_file: options.LogFile = None,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    task_output: options.ShownOutput = options.TaskOutput.failed,
    state_dir: options.StateDir = None,
    _no_keeper: options.NoKeeper = False,
) -> None:
    """Finish RUN: what succeeded is kept, all else runs (again), with the run's own parameters.

    The job file is read as it is now; tasks that changed run again, and what needs them. Exit codes
    are those of ``orch run``.
    """
    folder = given.run_folder(run, state_dir)
    telling = session.Telling(as_json, events, log_format, log_file, quiet, verbose, task_output)

    def make() -> Run | None:
        waits = session.waits_for(telling)
        return resumed(folder, given.Started.clock, strict=strict, force=force, waits=waits)

    session.run_to_end(make, telling)
    if not quiet:
        say(f"orch: run {folder.name} has succeeded; nothing is left to do")
    if as_json:
        emit_json(View.of(folder).document())
