"""``orch run FILE``: run a job to its end."""

from typing import Annotated

import typer

from orchestrator.cli import options, session
from orchestrator.loading import load
from orchestrator.running import Run


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
    events: session.Events = False,
    log_format: session.LogForm = session.LogFormat.auto,
    log_file: session.LogFile = None,
    quiet: session.Quiet = False,
    verbose: session.Verbose = False,
    task_output: session.ShownOutput = session.TaskOutput.failed,
    sync: Annotated[
        session.SyncOption,
        typer.Option(help="full: what is recorded survives a crash of the machine too."),
    ] = session.SyncOption.normal,
    state_dir: options.StateDir = None,
    _no_keeper: options.NoKeeper = False,
) -> None:
    """Run the job in FILE to its end.

    Exit codes: 0 all succeeded, 1 a task failed, 2 usage, 3 the file is wrong, 4 the environment
    is, 5 a bug of orch, 124 the run's timeout; ended by a signal: that signal.
    """
    telling = session.Telling(as_json, events, log_format, log_file, quiet, verbose, task_output)

    def make() -> Run:
        loaded = load(file, options.choices(params, only, skip), data=options.job_bytes(file))
        return Run(
            loaded,
            options.Started.clock,
            state_dir=state_dir,
            fail_fast=fail_fast,
            sync=sync.value,
            waits=session.waits_for(telling),
        )

    session.run_to_end(make, telling)
