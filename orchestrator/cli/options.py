"""Options that several commands share, and what they mean."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar

import typer

from orchestrator.clock import Clock
from orchestrator.errors import SpecError, UsageError
from orchestrator.loading import STDIN, Choices
from orchestrator.places import find_run, find_state
from orchestrator.spec.source import MAX_BYTES, Source, read_bytes
from orchestrator.spec.words import quote


class Started:
    """The clock that began with the first act of main."""

    clock: ClassVar[Clock] = Clock()


File = Annotated[str, typer.Argument(metavar="FILE", help="The job file; - is stdin.")]
Params = Annotated[
    list[str] | None,
    typer.Option(
        "-p", "--param", metavar="KEY=VALUE", help="Give a parameter; @FILE.yaml gives several."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Write one JSON document to stdout.")]
StateDir = Annotated[
    str | None,
    typer.Option(
        "--state-dir",
        envvar="ORCH_STATE_DIR",
        metavar="DIR",
        help="Where runs are kept [ROOT/.orch].",
    ),
]
RunName = Annotated[
    str | None,
    typer.Argument(metavar="[RUN]", help="A run's id, its last part, or `last` (the default)."),
]
NoKeeper = Annotated[  # taken note of before this is imported
    bool,
    typer.Option("--no-keeper", help="Do not fork: for debuggers. Less is cleaned up if killed."),
]
Only = Annotated[
    list[str] | None,
    typer.Option("--only", metavar="TASK", help="Run this task and what it needs; repeatable."),
]
Skip = Annotated[
    list[str] | None,
    typer.Option("--skip", metavar="TASK", help="Leave this task out; repeatable."),
]


def choices(
    params: Sequence[str] | None,
    only: Sequence[str] | None = None,
    skip: Sequence[str] | None = None,
) -> Choices:
    """Return what the options ask for. Raises ``UsageError``."""
    values: dict[str, Any] = {}
    for text in params or ():
        if text.startswith("@"):
            values.update(_params_file(text[1:]))
            continue
        name, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"found {quote(text)} after -p, expected KEY=VALUE or @FILE.yaml")
        values[name.strip()] = value
    return Choices(values, only or (), skip or (), os.getcwd())


def _params_file(name: str) -> dict[str, Any]:
    try:
        source = Source(name, read_bytes(Path(name)))
    except ValueError as error:
        raise UsageError(f"-p @{name}: {error}") from None
    if source.problems:
        first = source.report(source.problems)[0]
        place = f"{first.file}:{first.mark.line}:{first.mark.column}"
        raise UsageError(f"-p @{place}: {first.problem.message}")
    if not isinstance(source.value, dict):
        raise UsageError(f"-p @{name}: expected a mapping of parameters to values")
    return source.value


def job_bytes(file: str) -> bytes | None:
    """Return what came on stdin where *file* is ``-``. Raises ``SpecError``."""
    if file != STDIN:
        return None
    data = sys.stdin.buffer.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise SpecError(f"<stdin>: is larger than {MAX_BYTES >> 20} MiB")
    return data


def run_folder(run: str | None, state_dir: str | None) -> Path:
    """Return the directory of the run that a command names. Raises ``UsageError``."""
    return find_run(find_state(Path.cwd(), state_dir), run)
