"""``orch logs [RUN] [TASK]``: what tasks wrote."""

import os
import time
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli import options
from orchestrator.cli.console import emit, emit_bytes, say
from orchestrator.errors import UsageError
from orchestrator.finding import find_run, find_state, output_files
from orchestrator.places import is_live
from orchestrator.report.document import View
from orchestrator.report.tail import Follower, clean_line
from orchestrator.spec.words import did_you_mean, quote

_POLL_S = 0.1


def logs(
    run: options.RunName = None,
    task: Annotated[str | None, typer.Argument(metavar="[TASK]", help="Only this task.")] = None,
    follow: Annotated[
        bool, typer.Option("-f", "--follow", help="Go on until the run has ended.")
    ] = False,
    stdout: Annotated[bool, typer.Option("--stdout", help="Only stdout.")] = False,
    stderr: Annotated[bool, typer.Option("--stderr", help="Only stderr.")] = False,
    attempt: Annotated[
        int | None, typer.Option("--attempt", metavar="N", help="Only this attempt [the last].")
    ] = None,
    state_dir: options.StateDir = None,
) -> None:
    """Print what the tasks of RUN wrote, each line with its task's name.

    For one task and one of its streams the bytes are printed as they are, unless that is a
    terminal.
    """
    folder, task = _named(run, task, state_dir)
    _Printer(folder, task, attempt, stdout=stdout, stderr=stderr).print(follow=follow)


def _named(run: str | None, task: str | None, state_dir: str | None) -> tuple[Path, str | None]:
    """Tell which run and task are meant; ``orch logs TASK`` speaks of the last run."""
    state = find_state(Path.cwd(), state_dir)
    try:
        folder = find_run(state, run)
    except UsageError:
        if task is not None or run is None:
            raise
        folder = find_run(state, None)
        if run not in View.of(folder).lines:
            raise
        return folder, run
    if task is not None:
        known = View.of(folder).lines
        if task not in known:
            raise UsageError(f"unknown task {quote(task)}{did_you_mean(task, known)}")
    return folder, task


class _Printer:
    def __init__(
        self, folder: Path, task: str | None, attempt: int | None, *, stdout: bool, stderr: bool
    ) -> None:
        self._folder, self._task, self._attempt = folder, task, attempt
        self._kinds = {"out", "err"} if stdout == stderr else {"out" if stdout else "err"}
        self._labels = len(self._kinds) > 1 or task is None
        self._raw = not self._labels and not os.isatty(1)
        self._follower = Follower(self._line, pieces=self._raw)

    def print(self, *, follow: bool) -> None:
        """Print what there is; with *follow* also what comes, until the run has ended."""
        live = follow and is_live(self._folder)
        while live:
            live = is_live(self._folder)  # asked before reading, so that nothing is missed
            self._add(every=True)
            if not self._follower.poll() and live:
                time.sleep(_POLL_S)
        self._add(every=follow)
        if not self._follower.paths():
            say(f"orch: nothing was written{f' by {quote(self._task)}' if self._task else ''}")
        for path in self._follower.paths():
            if not os.access(path, os.R_OK):
                say(f"orch: {path} cannot be read")
            self._follower.finish(path)

    def _add(self, *, every: bool) -> None:
        found = [f for f in output_files(self._folder, self._task) if f[2] in self._kinds]
        last: dict[str, int] = {}
        for name, attempt, _, _ in found:
            last[name] = max(last.get(name, 0), attempt)
        for name, attempt, kind, path in found:
            wanted = self._attempt if self._attempt is not None else (
                attempt if every else last[name]
            )  # fmt: skip
            if attempt == wanted:
                self._follower.add(path, name, kind)

    def _line(self, label: str, kind: str, line: bytes) -> None:
        if self._raw:
            emit_bytes(line)
        elif self._labels:
            mark = "|" if kind == "out" else "!"
            emit(f"{label} {mark} {clean_line(line)}\n")
        else:
            emit(clean_line(line) + "\n")
