"""What was given on the command line, as the rest of orch takes it."""

from __future__ import annotations

import os
import sys

from orchestrator.clock import Clock
from orchestrator.errors import SpecError, UsageError
from orchestrator.loading import Choices
from orchestrator.places import STDIN
from orchestrator.spec.reading import MAX_BYTES, read_bytes
from orchestrator.spec.words import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import Any, ClassVar


class Started:
    """The clock that began with the first act of main."""

    clock: ClassVar[Clock] = Clock()


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
    from orchestrator.spec.source import Source  # noqa: PLC0415 - for a file of parameters only

    try:
        source = Source(name, read_bytes(name))
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
    from pathlib import Path  # noqa: PLC0415 - of other commands

    from orchestrator.finding import find_run, find_state  # noqa: PLC0415 - of other commands

    return find_run(find_state(Path.cwd(), state_dir), run)
