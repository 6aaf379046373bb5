"""Options that several commands share."""

from enum import StrEnum
from typing import Annotated

import typer

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
Times = Annotated[int, typer.Option("--times", min=1, max=100, help="How many rounds each is run.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask before users' code is run.")]
Only = Annotated[
    list[str] | None,
    typer.Option("--only", metavar="TASK", help="Run this task and what it needs; repeatable."),
]
Skip = Annotated[
    list[str] | None,
    typer.Option("--skip", metavar="TASK", help="Leave this task out; repeatable."),
]


class LogFormat(StrEnum):
    """How the log on stderr looks."""

    auto = "auto"
    console = "console"
    json = "json"


class TaskOutput(StrEnum):
    """What of the tasks' own output is shown on stderr."""

    live = "live"
    failed = "failed"
    none = "none"


class SyncOption(StrEnum):
    """What a record of the journal survives."""

    normal = "normal"
    full = "full"


Events = Annotated[
    bool, typer.Option("--events", help="Write each event to stdout as a JSON line, live.")
]
LogForm = Annotated[
    LogFormat, typer.Option(help="auto: readable lines on a terminal, key=value elsewhere.")
]
LogFile = Annotated[str | None, typer.Option(metavar="FILE", help="Append the log to FILE too.")]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Errors only.")]
Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="Starts of tasks too.")]
ShownOutput = Annotated[
    TaskOutput,
    typer.Option(help="Of the tasks' output show every line, the end of failed ones, or none."),
]
