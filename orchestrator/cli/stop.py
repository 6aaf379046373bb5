"""``orch stop RUN``: end a run from another shell."""

import os
import signal
from typing import Annotated

import typer

from orchestrator.cli import given, options
from orchestrator.cli.console import say
from orchestrator.errors import UsageError
from orchestrator.journal import headline
from orchestrator.places import is_live, wait_for_end


def stop(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="A run's id, its last part, or `last`.")
    ],
    force: Annotated[
        bool, typer.Option("--force", help="Kill what runs, without waiting for its grace.")
    ] = False,
    wait: Annotated[bool, typer.Option(help="Return only when the run has ended.")] = True,
    state_dir: options.StateDir = None,
) -> None:
    """Ask RUN to end: TERM to what runs, KILL after its grace."""
    folder = given.run_folder(run, state_dir)
    if not is_live(folder):
        raise UsageError(f"run {folder.name} is not under way")
    meta, _ = headline(folder)
    # two of one kind that arrive together count as one
    for number in (signal.SIGTERM, signal.SIGINT) if force else (signal.SIGTERM,):
        try:
            os.kill(int(meta["pid"]), number)
        except ProcessLookupError:
            break
    if wait:
        wait_for_end(folder)
        say(f"orch: run {folder.name} has ended")
