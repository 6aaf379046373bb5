"""What every command says, and how: data on stdout, the rest on stderr."""

from __future__ import annotations

import os
import sys

from orchestrator import jsonio
from orchestrator.errors import EnvironmentFault, OrchError, Report, SpecError
from orchestrator.lean import signal
from orchestrator.report.screen import wants_colour
from orchestrator.signals import end_by
from orchestrator.spec.words import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, NoReturn


_RED, _YELLOW, _BOLD, _DIM, _RESET = "\x1b[31m", "\x1b[33m", "\x1b[1m", "\x1b[2m", "\x1b[0m"
_MAX_LINE = 160
_MAX_MESSAGE = 500


def emit(text: str) -> None:
    """Write data to stdout. When nobody reads it any more, end quietly, by SIGPIPE (141)."""
    emit_bytes(text.encode("utf-8", "backslashreplace"))


def emit_bytes(data: bytes) -> None:
    """Write *data* to stdout as it is; like ``emit``."""
    try:
        while data:
            data = data[os.write(1, data) :]
    except BrokenPipeError:
        end_by(signal.SIGPIPE)
    except OSError as error:
        raise EnvironmentFault(f"stdout: {(error.strerror or '').lower()}") from None


def emit_json(value: Any) -> None:
    """Write *value* as JSON: indented for a terminal, on one line for a program."""
    indent = 2 if os.isatty(1) else None
    import json  # noqa: PLC0415 - if asked for

    emit(json.dumps(value, ensure_ascii=False, indent=indent) + "\n")


def say(text: str) -> None:
    """Write a line for people to stderr."""
    try:
        os.write(2, (text + "\n").encode("utf-8", "backslashreplace"))
    except OSError:
        pass  # nobody is there to be told


def complain(error: OrchError, *, form: str = "console") -> None:
    """Say what *error* says, each of its reports in the house form, or as JSON lines."""
    reports = error.reports if isinstance(error, SpecError) else ()
    if form == "json":
        for line in _json_lines(error, reports):
            say(jsonio.compact(line))
        return
    if not reports:
        say(f"{_paint('orch: error:', _RED)} {message_text(str(error))}")
        return
    for report in reports:
        say(rendered(report, paint=_paint))
    count = len(reports)
    if count > 1:
        say(f"{_paint('orch:', _BOLD)} {count} errors in {printable(reports[0].file)}")


def _json_lines(error: OrchError, reports: Iterable[Report]) -> list[dict[str, Any]]:
    found = [
        {"event": "file error", "level": report.problem.level, **report_data(report)}
        for report in reports
    ]
    whole = {"event": "error", "level": "error", "error": str(error), "exit_code": error.exit_code}
    return [*found, whole]


def report_data(report: Report) -> dict[str, Any]:
    """Return *report* as JSON data."""
    return {
        "file": report.file,
        "line": report.mark.line,
        "column": report.mark.column,
        "severity": report.problem.level,
        "where": where_text(report),
        "message": message_text(report.problem.message),
        "hint": report.problem.hint,
    }


def message_text(text: str) -> str:
    """Return *text*, which may hold a user's words, as one line of no more than 500 characters."""
    shown = printable(text[: _MAX_MESSAGE + 1])
    return shown if len(shown) <= _MAX_MESSAGE else shown[: _MAX_MESSAGE - 1] + "…"


def where_text(report: Report) -> str:
    """Return the path to what is wrong: ``tasks.load.retry``."""
    return printable(".".join(str(part)[:64] for part in report.problem.where))


def _paint(text: str, colour: str) -> str:
    return f"{colour}{text}{_RESET}" if wants_colour(2) else text


def plain(text: str, _colour: str) -> str:
    """Return *text* without colour."""
    return text


def rendered(report: Report, paint: Callable[[str, str], str] = plain) -> str:
    """Return *report* in the house form: place, message, source line, caret, hint."""
    problem = report.problem
    place = f"{printable(report.file)}:{report.mark.line}:{report.mark.column}:"
    level = paint(f"{problem.level}:", _RED if problem.level == "error" else _YELLOW)
    where = where_text(report)
    message = message_text(problem.message)
    first = f"{paint(place, _BOLD)} {level} {where}{': ' if where else ''}{message}"
    lines = [first]
    if report.source_line.strip():
        start = max(0, report.mark.column - _MAX_LINE // 2) if (
            len(report.source_line) > _MAX_LINE
        ) else 0  # fmt: skip
        shown = report.source_line[start : start + _MAX_LINE]
        before = printable(shown[: report.mark.column - 1 - start].replace("\t", " "))
        lines.append("    " + printable(shown.replace("\t", " ")))
        lines.append("    " + " " * len(before) + paint("^", _RED))
    if problem.hint:
        lines.append(f"    {paint('hint:', _DIM)} {message_text(problem.hint)}")
    return "\n".join(lines)


def table(rows: list[list[str]], *, right: frozenset[int] = frozenset()) -> str:
    """Return *rows*, the first one the heading, in columns."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip() + "\n")
    return "".join(lines)


def flush_and_leave(code: int) -> NoReturn:
    """Leave now: what the tasks registered to be done at exit is done, no thread is waited for."""
    import atexit  # noqa: PLC0415

    atexit._run_exitfuncs()  # noqa: SLF001 - there is no public way
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            pass
    os._exit(code)
