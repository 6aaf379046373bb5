"""What ``orch run`` and ``orch resume`` share: a run to its end, and what it tells meanwhile."""

from __future__ import annotations

import gc
import os

from orchestrator import jsonio
from orchestrator.cli.console import complain, flush_and_leave, say
from orchestrator.errors import EnvironmentFault, OrchError, UsageError
from orchestrator.logs import Log, Sink, descriptor_sink
from orchestrator.records import NamedTuple
from orchestrator.report.screen import Screen, wants_colour
from orchestrator.report.summary import Failures
from orchestrator.signals import end_by

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import NoReturn

    from orchestrator.engine import Observer
    from orchestrator.logs import Format
    from orchestrator.report.turns import Turns
    from orchestrator.running import Run


class Telling(NamedTuple):
    """What a run tells, and where; each as the option of its name."""

    as_json: bool = False
    events: bool = False
    log_format: str = "auto"
    log_file: str | None = None
    quiet: bool = False
    verbose: bool = False
    task_output: str = "failed"

    @property
    def level(self) -> str:
        """The least level of lines in the log."""
        return "error" if self.quiet else ("debug" if self.verbose else "info")


def waits_for(telling: Telling) -> Callable[[str], None]:
    """Return what says, in the form of the log, for which other run of the job this one waits."""

    def tell(holder: str) -> None:
        if telling.log_format == "json":
            line = {"event": "waiting", "level": "warning", "for": holder}
            say(jsonio.compact(line))
        elif not telling.quiet:
            say(f"orch: waiting for {holder} of this job to end")

    return tell


def run_to_end(make: Callable[[], Run | None], telling: Telling) -> None:
    """Run what *make* returns to its end, and leave with its exit code.

    Returns where that is None: nothing is left to do.
    """
    if telling.as_json and telling.events:
        raise UsageError("--json and --events exclude each other: both write to stdout")
    try:
        log_sink = None if telling.log_file is None else _file_sink(telling.log_file)
        run = make()
    except OrchError as error:
        complain(error, form=telling.log_format)
        raise SystemExit(error.exit_code) from None
    if run is not None:
        _Session(run, telling, log_sink).run()


class _Session:
    """One session of a run: the real stdout and stderr, and what is written to them."""

    def __init__(self, run: Run, telling: Telling, log_file: Sink | None) -> None:
        self._run, self._telling = run, telling
        self._form = telling.log_format
        # tasks get other descriptors 1 and 2, so that nobody prints into the data
        self._out = descriptor_sink("stdout", os.dup(1))
        self._err = os.dup(2)
        self._tty = os.isatty(self._err)
        self._screen = Screen(self._err, colour=wants_colour(self._err))
        self._stderr = Sink("stderr", self._screen.write)
        secrets = run.secrets
        self._log = Log(run.id, telling.level, None if secrets is None else secrets.mask_in)
        if secrets is not None and self._form != "json":  # where JSON stays JSON
            self._stderr = Sink("stderr", secrets.masking(self._screen.write))
        self._log.add(self._stderr, self._format(), colour=self._screen.colour)
        if log_file is not None:
            self._log.add(log_file, "json" if self._form == "json" else "keyvalue")
        self._failures = Failures(run)
        self._turns: Turns | None = None
        if self._log.enabled("info") and any(t.mode == "thread" for t in run.plan.tasks.values()):
            from orchestrator.report.turns import Turns  # noqa: PLC0415 - not with -q

            self._turns = Turns()
        self._width = max((len(name) for name, _ in run.plan.instances()), default=0)

    def _format(self) -> Format:
        if self._form == "auto":
            return "console" if self._tty else "keyvalue"
        return "json" if self._form == "json" else "console"

    def _observers(self, run: Run) -> Sequence[Observer]:
        """Return those who are told what happens."""
        telling = self._telling
        observers: list[Observer] = [self._failures]
        if self._turns is not None:
            observers.append(self._turns)
        if self._log.enabled("warning"):
            from orchestrator.report.narrator import Narrator  # noqa: PLC0415 - not with -q

            observers.append(Narrator(run, self._log))
        if telling.events:
            from orchestrator.report.narrator import EventStream  # noqa: PLC0415 - if asked for

            observers.append(EventStream(run, self._out.write))
        if telling.task_output == "live":
            from orchestrator.report.tail import LiveOutput  # noqa: PLC0415 - if asked for

            observers.append(LiveOutput(run, self._show_lines))
        elif self._tty and not telling.quiet and self._form != "json":
            from orchestrator.report.progress import Progress  # noqa: PLC0415 - on a terminal

            observers.append(Progress(run, self._screen))
        return observers

    def run(self) -> NoReturn:
        """Run, tell, and leave with the exit code."""
        telling, form, out = self._telling, self._form, self._out
        # what was loaded stays, and events come and go without cycles: look less often
        gc.freeze()
        gc.set_threshold(10_000, 20, 50)
        gc.enable()
        try:
            finished = self._run.go(self._observers, redirect=True, handle_signals=True)
        except OrchError as error:
            self._screen.close()
            complain(error, form=form)
            flush_and_leave(error.exit_code)
        self._screen.close()
        self._advise()
        self._summarize(tails=telling.task_output == "failed")
        if telling.as_json:
            _write_document(self._run, out)
        if out.broken:
            self._say_dropped(out)
        if finished.state == "cancelled" and self._run.ladder.last is not None:
            end_by(self._run.ladder.last)
        flush_and_leave(finished.exit_code)

    def _show_lines(self, lines: list[tuple[str, str, str]]) -> None:
        """Show what tasks wrote, with the task's name."""
        if self._form == "json":
            for task, stream, text in lines:
                self._log.log("info", "task output", task=task, stream=stream, line=text)
            self._log.flush()
            return
        width = self._width
        text = "".join(f"{task:<{width}} | {line}\n" for task, _, line in lines)
        self._stderr.write(text.encode("utf-8", "backslashreplace"))

    def _advise(self) -> None:
        """Tell in a line where another mode would have made the run a good deal shorter."""
        if self._turns is None:
            return
        try:
            line = self._turns.advice(self._run)
        except Exception:  # noqa: BLE001 - how the run ended does not depend on it
            return
        if line is not None:
            self._log.log("info", line)
            self._log.flush()

    def _say_dropped(self, sink: Sink) -> None:
        if self._form == "json":
            self._log.log("error", "log dropped", sink=sink.name, reason=sink.broken)
            self._log.flush()
        else:
            text = f"orch: {sink.name} dropped: {sink.broken}\n"
            self._stderr.write(text.encode("utf-8", "backslashreplace"))

    def _summarize(self, *, tails: bool) -> None:
        if self._form == "json":
            for report in self._failures.reports(tails=tails):
                self._log.log("error", "task report", **report)
            self._log.flush()
        else:
            text = self._failures.text(tails=tails, colour=self._screen.colour)
            self._stderr.write(text.encode("utf-8", "backslashreplace"))


def _write_document(run: Run, out: Sink) -> None:
    import json  # noqa: PLC0415 - if asked for
    from pathlib import Path  # noqa: PLC0415

    from orchestrator.report.document import View  # noqa: PLC0415

    document = View.of(Path(run.path)).document()
    out.write((json.dumps(document, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace"))


def _file_sink(name: str) -> Sink:
    try:
        descriptor = os.open(name, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise EnvironmentFault(f"--log-file {name}: {(error.strerror or '').lower()}") from None
    return descriptor_sink(name, descriptor)
