"""What a person reads when a run has ended: what failed, why, and what to do next."""

from __future__ import annotations

import os

from orchestrator.events import Ended, Finished, Retrying, Returned, Started
from orchestrator.places import in_commands, relative
from orchestrator.report import in_words
from orchestrator.spec.durations import show
from orchestrator.spec.words import printable, quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from orchestrator.events import Asked, Noted, Recorded
    from orchestrator.running import Run

MAX_SHOWN = 10
_TRACE_LINES = 20


class Failures:
    """Collects the tasks that failed for good, and threads that were given up."""

    tick_s: float | None = None

    def __init__(self, run: Run) -> None:
        self._run = run
        self.failed: dict[str, tuple[Ended, float]] = {}
        self.given_up: dict[tuple[str, int], str] = {}
        self._may_go_on = False

    def told(self, events: Sequence[Recorded | Noted | Asked]) -> None:
        """Take note of what ended."""
        for event in events:
            if event.__class__ is Started or (event.__class__ is Ended and event.outcome == "ok"):
                continue
            match event:
                case Ended(task, attempt, outcome, at):
                    started_at = self._run.scheduler.nodes[task].started_at if attempt else at
                    if outcome != "stopped" and (attempt or task not in self.failed):
                        self.failed[task] = (event, at - started_at)
                    if event.left_running:
                        trace = event.error.traceback if event.error else None
                        self.given_up[task, attempt] = trace or ""
                case Retrying(task):
                    self.failed.pop(task, None)
                case Returned(task, attempt):
                    self.given_up.pop((task, attempt), None)
                case Finished(state):
                    self._may_go_on = state != "succeeded"

    def tick(self) -> None:
        """Nothing to do while nothing happens."""

    def reports(self, *, tails: bool) -> list[dict[str, Any]]:
        """Return what is to be said of each task that failed, in the order of failing."""
        return [
            self._report(event, duration_s, tails=tails)
            for event, duration_s in list(self.failed.values())[:MAX_SHOWN]
        ]

    def _report(self, event: Ended, duration_s: float, *, tails: bool) -> dict[str, Any]:
        from orchestrator.report.tail import last_lines  # noqa: PLC0415 - for failures only

        spec = self._run.plan.tasks[event.task.partition(".")[0]]
        path = f"{self._run.path}/{event.task}.{event.attempt}.err"
        lines = last_lines(path, mask=self._run.mask) if tails else []
        log = path if os.path.exists(path) else None
        if not lines and event.error is not None and event.error.traceback and tails:
            lines = [printable(line) for line in event.error.traceback.splitlines()]
            lines = lines[-_TRACE_LINES:]
        return {
            "task": event.task,
            "attempt": event.attempt,
            "of": spec.retry.attempts,
            "outcome": event.outcome,
            "allowed": spec.allow_failure,
            "error": in_words(event.error) if event.error else event.outcome,
            "duration_s": round(duration_s, 6),
            "stderr_tail": lines,
            "log": relative(log) if log else None,
            "next": f"orch logs {in_commands(self._run.path)} {event.task}",
        }

    def text(self, *, tails: bool, colour: bool) -> str:
        """Return the reports as text; empty where nothing failed."""
        red, bold, dim, reset = (
            ("\x1b[31m", "\x1b[1m", "\x1b[2m", "\x1b[0m") if colour else ("", "", "", "")
        )
        parts = []
        for report in self.reports(tails=tails):
            failed = f"{red}failed{reset}" if not report["allowed"] else "failed, which is allowed"
            attempt = ""
            if report["of"] > 1:
                attempt = f" on attempt {report['attempt']} of {report['of']}"
            took = f", {show(report['duration_s'])} after start" if report["attempt"] else ""
            parts.append(
                f"orch: task {bold}{quote(report['task'])}{reset} {failed}{attempt}: "
                f"{_first_line(report['error'])}{took}\n"
            )
            parts += [f"      {dim}|{reset} {line}\n" for line in report["stderr_tail"]]
            where = f"log: {report['log']}     " if report["log"] else ""
            parts.append(f"      {where}next: {report['next']}\n")
        more = len(self.failed) - MAX_SHOWN
        if more > 0:
            parts.append(
                f"orch: {more} more failed     next: orch show {in_commands(self._run.path)}\n"
            )
        for (task, _), trace in self.given_up.items():
            where = next((x.strip() for x in reversed(trace.splitlines()) if "File " in x), "")
            said = f": {printable(where)}" if where else ""
            parts.append(f"orch: the thread of task {quote(task)} still runs{said}\n")
        if self._may_go_on:
            parts.append(
                f"orch: to go on where it stopped: orch resume {in_commands(self._run.path)}\n"
            )
        return "".join(parts)


def _first_line(text: str) -> str:
    return printable(text.partition("\n")[0][:300])
