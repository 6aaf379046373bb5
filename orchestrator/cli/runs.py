"""``orch runs``: the runs there are, newest first."""

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli import options
from orchestrator.cli.console import emit, emit_json, say, table
from orchestrator.errors import JournalError, UsageError
from orchestrator.finding import find_state
from orchestrator.finding import runs as run_folders
from orchestrator.report.document import summary
from orchestrator.spec.durations import show


def runs(
    live: Annotated[bool, typer.Option("--live", help="Only those that are under way.")] = False,
    as_json: options.AsJson = False,
    state_dir: options.StateDir = None,
) -> None:
    """List the runs, newest first."""
    found = []
    try:
        folders = run_folders(find_state(Path.cwd(), state_dir))
    except UsageError:
        if not as_json:
            raise
        folders = []
    for folder in folders:
        try:
            found.append(summary(folder))
        except JournalError as error:
            say(f"orch: {error}")
    if live:
        found = [each for each in found if each["state"] == "running"]
    if as_json:
        emit_json(found)
        return
    if not found:
        say("orch: no runs")
        return
    rows = [["RUN", "JOB", "STATE", "EXIT", "STARTED", "TOOK"]]
    for each in found:
        code, took = each["exit_code"], each["duration_s"]
        rows.append([
            each["run"], each["job"] or "", each["state"], "" if code is None else str(code),
            (each["started_at"] or "")[:19].replace("T", " "), "" if took is None else show(took),
        ])  # fmt: skip
    emit(table(rows, right=frozenset({3, 5})))
