"""``orch run FILE``: run a job to its end."""

from typing import Annotated

import typer

from orchestrator.cli import options, start
from orchestrator.cli.session import Telling


def run(  # noqa: PLR0913, PLR0917 - the options of a command line
    file: options.File,
    params: options.Params = None,
    only: options.Only = None,
    skip: options.Skip = None,
    fail_fast: Annotated[
        bool,
        typer.Option("--fail-fast/--keep-going", help="Stop everything at the first failure."),
    ] = False,
    as_json: options.AsJson = False,
    events: options.Events = False,
    log_format: options.LogForm = options.LogFormat.auto,
    log_file: options.LogFile = None,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    task_output: options.ShownOutput = options.TaskOutput.failed,
    sync: Annotated[
        options.SyncOption,
        typer.Option(help="full: what is recorded survives a crash of the machine too."),
    ] = options.SyncOption.normal,
    state_dir: options.StateDir = None,
    _no_keeper: options.NoKeeper = False,
) -> None:
    """Run the job in FILE to its end.

    Exit codes: 0 all succeeded, 1 a task failed, 2 usage, 3 the file is wrong, 4 the environment
    is, 5 a bug of orch, 124 the run's timeout; ended by a signal: that signal.
    """
    telling = Telling(
        as_json, events, log_format.value, log_file, quiet, verbose, task_output.value
    )
    start.start(
        start.Request(
            file, params or [], only or [], skip or [], fail_fast, sync.value, state_dir, telling
        )
    )
