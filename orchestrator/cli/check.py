"""``orch check FILE``: all that can be known without running."""

from typing import Any

import typer

from orchestrator.cli import given, options
from orchestrator.cli.console import complain, emit_json, rendered, report_data, say
from orchestrator.errors import Report, SpecError
from orchestrator.loading import load, reported, spec_error
from orchestrator.spec.words import printable


def check(
    file: options.File, params: options.Params = None, as_json: options.AsJson = False
) -> None:
    """Check the job in FILE without running it.

    Functions are imported, in a process of their own. Warnings go to stderr; exit code 0 or 3.
    """
    reports: list[Report] = []
    try:
        loaded = load(file, given.choices(params), data=given.job_bytes(file), lenient=True)
        errors, warnings = loaded.checker.deep()
        assert loaded.source is not None  # nothing was kept
        reports = reported(loaded.source, warnings, loaded.secrets)
        if errors:
            raise spec_error(loaded.source, [*errors, *warnings], loaded.secrets)
    except SpecError as error:
        if as_json:
            _as_json(file, error.reports, error)
        else:
            complain(error)
        raise typer.Exit(error.exit_code) from None
    if as_json:
        _as_json(file, reports, None)
        return
    for report in reports:
        say(rendered(report))
    tasks, found = len(loaded.plan.tasks), len(reports)
    said = f"{printable(file)}: {tasks} task{'s' if tasks != 1 else ''}, no errors"
    say(said + (f", {found} warning{'s' if found != 1 else ''}" if found else ""))


def _as_json(file: str, reports: Any, error: SpecError | None) -> None:
    problems = [report_data(report) for report in reports]
    if error is not None and not problems:
        problems = [{"file": file, "line": None, "column": None, "severity": "error", "where": "",
                     "message": str(error), "hint": None}]  # fmt: skip
    emit_json({"file": file, "ok": error is None, "problems": problems})
