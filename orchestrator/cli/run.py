"""``orch run FILE``: run a job to its end."""

import gc
import os
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, NoReturn

import typer

from orchestrator.cli import options
from orchestrator.cli.console import complain, flush_and_leave
from orchestrator.engine import Observer
from orchestrator.errors import EnvironmentFault, OrchError, UsageError
from orchestrator.loading import load
from orchestrator.logs import Format, Log, Sink, descriptor_sink
from orchestrator.report.document import View
from orchestrator.report.narrator import EventStream, Narrator
from orchestrator.report.screen import Progress, Screen, wants_colour
from orchestrator.report.summary import Failures
from orchestrator.report.tail import LiveOutput
from orchestrator.running import Run
from orchestrator.signals import end_by


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


def run(  # noqa: PLR0913, PLR0917 - the options of a command line
    file: options.File,
    params: options.Params = None,
    only: options.Only = None,
    skip: options.Skip = None,
    fail_fast: Annotated[
        bool,
        typer.Option("--fail-fast/--keep-going", help="Stop everything at the first failure."),
    ] = False,
    as_json: options.AsJson = False,
    events: Annotated[
        bool, typer.Option("--events", help="Write each event to stdout as a JSON line, live.")
    ] = False,
    log_format: Annotated[
        LogFormat,
        typer.Option(help="auto: readable lines on a terminal, key=value elsewhere."),
    ] = LogFormat.auto,
    log_file: Annotated[
        str | None, typer.Option(metavar="FILE", help="Append the log to FILE too.")
    ] = None,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Errors only.")] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Starts of tasks too.")] = False,
    task_output: Annotated[
        TaskOutput,
        typer.Option(help="Of the tasks' output show every line, the end of failed ones, or none."),
    ] = TaskOutput.failed,
    state_dir: options.StateDir = None,
) -> None:
    """Run the job in FILE to its end.

    Exit codes: 0 all succeeded, 1 a task failed, 2 usage, 3 the file is wrong, 4 the environment
    is, 5 a bug of orch, 124 the run's timeout; ended by a signal: that signal.
    """
    if as_json and events:
        raise UsageError("--json and --events exclude each other: both write to stdout")
    level = "error" if quiet else ("debug" if verbose else "info")
    try:
        loaded = load(file, options.choices(params, only, skip), data=options.job_bytes(file))
        log_sink = None if log_file is None else _file_sink(log_file)
        the_run = Run(loaded, options.Started.clock, state_dir=state_dir, fail_fast=fail_fast)
    except OrchError as error:
        complain(error, form=log_format)
        raise typer.Exit(error.exit_code) from None
    session = _Session(the_run, log_format, log_sink, level)
    session.run(as_json=as_json, events=events, task_output=task_output, quiet=quiet)


class _Session:
    """One ``orch run``: the real stdout and stderr, and what is written to them."""

    def __init__(self, run: Run, log_format: LogFormat, log_file: Sink | None, level: str) -> None:
        self._run = run
        self._form = log_format
        # tasks get other descriptors 1 and 2, so that nobody prints into the data
        self._out = descriptor_sink("stdout", os.dup(1))
        self._err = os.dup(2)
        self._tty = os.isatty(self._err)
        self._screen = Screen(self._err, colour=wants_colour(self._err))
        self._stderr = Sink("stderr", self._screen.write)
        self._log = Log(run.id, level)
        self._log.add(self._stderr, self._format(), colour=self._screen.colour)
        if log_file is not None:
            self._log.add(log_file, "json" if self._form == "json" else "keyvalue")
        self._failures = Failures(run)
        self._width = max((len(name) for name, _ in run.plan.instances()), default=0)

    def _format(self) -> Format:
        if self._form == LogFormat.auto:
            return "console" if self._tty else "keyvalue"
        return "json" if self._form == LogFormat.json else "console"

    def run(self, *, as_json: bool, events: bool, task_output: TaskOutput, quiet: bool) -> NoReturn:
        """Run, tell, and leave with the exit code."""
        form, out = self._form, self._out

        def observe(run: Run) -> Sequence[Observer]:
            observers: list[Observer] = [Narrator(run, self._log), self._failures]
            if events:
                observers.append(EventStream(run, out.write))
            if task_output == TaskOutput.live:
                observers.append(LiveOutput(run, self._show_lines))
            elif self._tty and not quiet and form != LogFormat.json:
                observers.append(Progress(run, self._screen))
            return observers

        # what was loaded stays, and events come and go without cycles: look less often
        gc.freeze()
        gc.set_threshold(10_000, 20, 50)
        try:
            finished = self._run.go(observe, redirect=True, handle_signals=True)
        except OrchError as error:
            self._screen.close()
            complain(error, form=form)
            flush_and_leave(error.exit_code)
        self._screen.close()
        self._summarize(tails=task_output == TaskOutput.failed)
        if as_json:
            _write_document(self._run, out)
        if out.broken:
            self._say_dropped(out)
        if finished.state == "cancelled" and self._run.ladder.last is not None:
            end_by(self._run.ladder.last)
        flush_and_leave(finished.exit_code)

    def _show_lines(self, lines: list[tuple[str, str, str]]) -> None:
        """Show what tasks wrote, with the task's name."""
        if self._form == LogFormat.json:
            for task, stream, text in lines:
                self._log.log("info", "task output", task=task, stream=stream, line=text)
            self._log.flush()
            return
        width = self._width
        text = "".join(f"{task:<{width}} | {line}\n" for task, _, line in lines)
        self._stderr.write(text.encode("utf-8", "backslashreplace"))

    def _say_dropped(self, sink: Sink) -> None:
        if self._form == LogFormat.json:
            self._log.log("error", "log dropped", sink=sink.name, reason=sink.broken)
            self._log.flush()
        else:
            text = f"orch: {sink.name} dropped: {sink.broken}\n"
            self._stderr.write(text.encode("utf-8", "backslashreplace"))

    def _summarize(self, *, tails: bool) -> None:
        if self._form == LogFormat.json:
            for report in self._failures.reports(tails=tails):
                self._log.log("error", "task report", **report)
            self._log.flush()
        else:
            text = self._failures.text(tails=tails, colour=self._screen.colour)
            self._stderr.write(text.encode("utf-8", "backslashreplace"))


def _write_document(run: Run, out: Sink) -> None:
    import json  # noqa: PLC0415 - only where it is asked for

    document = View.of(run.path).document()
    out.write((json.dumps(document, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace"))


def _file_sink(name: str) -> Sink:
    try:
        descriptor = os.open(name, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise EnvironmentFault(f"--log-file {name}: {(error.strerror or '').lower()}") from None
    return descriptor_sink(name, descriptor)
