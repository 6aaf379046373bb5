"""The exceptions of orch, and the exit code that each one means.

OrchError
├── UsageError         2   the command line is wrong, ``-p`` values too
├── SpecError          3   the job file is wrong, or is not there
├── EnvironmentFault   4   the machine is: no state directory, disk full, run locked
│   └── JournalError   4   the journal cannot be written, or is damaged
└── TemplateError      -   a template failed; becomes a SpecError or a ``launch_failed``
"""

from __future__ import annotations

from orchestrator.records import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Literal

    Where = tuple[str | int, ...]


class Mark(NamedTuple):
    """A place in a text; *line* and *column* count from 1."""

    line: int
    column: int


class Problem(NamedTuple):
    """One thing wrong with a job file, before it is tied to its place in the text.

    *where* is the path to it through the document (``("tasks", "load", "retry")``);
    *at_key* asks for the place of the last key instead of its value; *mark*, where
    the reader already knows it, spares the search.
    """

    where: Where
    message: str
    hint: str | None = None
    at_key: bool = False
    mark: Mark | None = None
    level: Literal["error", "warning"] = "error"


class Report(NamedTuple):
    """A problem with its place: what is printed."""

    file: str
    mark: Mark
    problem: Problem
    source_line: str = ""


class OrchError(Exception):
    """Whatever orch refuses to do, with the exit code of the command."""

    exit_code = 5


class UsageError(OrchError):
    """The command line, or a parameter given on it, is wrong."""

    exit_code = 2


class SpecError(OrchError):
    """The job file is wrong; *reports* are its problems in the order of their lines."""

    exit_code = 3

    def __init__(self, message: str, reports: Sequence[Report] = ()) -> None:
        super().__init__(message)
        self.reports = tuple(reports)


class EnvironmentFault(OrchError):
    """The machine does not let orch work: state directory, disk, locks."""

    exit_code = 4


class JournalError(EnvironmentFault):
    """The journal cannot be written, or cannot be believed."""


class TemplateError(OrchError):
    """A template is malformed, or what it looks up is not there."""

    exit_code = 3
