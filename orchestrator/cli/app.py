"""The commands, put together, and what becomes of their errors."""

import traceback
from collections.abc import Sequence
from typing import Annotated, NoReturn

import typer

from orchestrator import __version__
from orchestrator.cli import check, clean, logs, plan, resume, run, runs, schema, show, stop
from orchestrator.cli.console import complain, emit, flush_and_leave, say
from orchestrator.cli.options import Started
from orchestrator.clock import Clock
from orchestrator.errors import EnvironmentFault, OrchError
from orchestrator.runners.shortage import hint, shortage

app = typer.Typer(
    name="orch",
    help="Run Python functions and programs together, as a YAML job file says.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("run")(run.run)
app.command("resume")(resume.resume)
app.command("check")(check.check)
app.command("plan")(plan.plan)
app.command("runs")(runs.runs)
app.command("show")(show.show)
app.command("logs")(logs.logs)
app.command("stop")(stop.stop)
app.command("clean")(clean.clean)
app.command("schema")(schema.schema)


def _version(wanted: bool) -> None:
    if wanted:
        emit(f"orch {__version__}\n")
        raise typer.Exit


@app.callback()
def _options(
    _version_flag: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Run Python functions and programs together, as a YAML job file says."""


def run_app(args: Sequence[str], clock: Clock) -> int:
    """Run the command that *args* name and return its exit code."""
    Started.clock = clock
    try:
        app(list(args), prog_name="orch")
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else int(bool(leaving.code))
    except OrchError as error:
        complain(error)
        return error.exit_code
    except Exception as error:  # noqa: BLE001 - whatever it is, it is ours
        if (reason := shortage(error)) is not None:  # unless orch itself could not be started
            complain(EnvironmentFault(f"{reason}; see {hint(reason)}"))
            return EnvironmentFault.exit_code
        say(f"orch: a bug of orch {__version__}; please report it with what follows")
        say(traceback.format_exc().rstrip())
        return 5
    return 0


def leave(args: Sequence[str], clock: Clock) -> NoReturn:
    """Run the command that *args* name and leave with its exit code."""
    flush_and_leave(run_app(args, clock))
