"""The commands, put together, and what becomes of their errors."""

from collections.abc import Sequence
from typing import Annotated

import typer

from orchestrator import __version__
from orchestrator.cli import (
    advise,
    check,
    clean,
    compare,
    logs,
    plan,
    resume,
    run,
    runs,
    schema,
    show,
    stop,
)
from orchestrator.cli.console import emit

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
app.command("advise")(advise.advise)
app.command("compare")(compare.compare)
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


def run_app(args: Sequence[str]) -> None:
    """Run the command that *args* name."""
    app(list(args), prog_name="orch")
