"""Trials: tasks of a job, run for measuring, by orch itself, in real modes, and as runs begin.

Each trial is a process of its own, so it imports, begins and warms up as a run does, finds nothing
that another has left in memory, and takes nobody along when it crashes.
"""

from __future__ import annotations

import marshal
import shutil
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import accumulate, chain, pairwise
from pathlib import Path
from typing import Any, NamedTuple

from orchestrator import jsonio, keeper
from orchestrator.advice.crowd import served
from orchestrator.advice.overhead import Overhead
from orchestrator.advice.shots import Shot, shots_of
from orchestrator.advice.staging import Staging, name_of
from orchestrator.errors import EnvironmentFault, OrchError, TemplateError
from orchestrator.events import Ended
from orchestrator.finding import runs
from orchestrator.journal import Record
from orchestrator.loading import Loaded
from orchestrator.places import STDIN, create_run
from orchestrator.plan import templates
from orchestrator.plan.fill import items as items_of
from orchestrator.plan.model import Plan, PlanTask
from orchestrator.plan.prepare import Preparer, condition
from orchestrator.records import replaced
from orchestrator.running import turn_of
from orchestrator.spec.words import quote

_FILLED = ("args", "kwargs", "command", "env", "cwd")
SAMPLE_S = 0.002  # ten times as often as in other runs
_ENDED_ORCH = "ended orch"
_PROGRAM = (sys.executable, "-P", "-m", "orchestrator.cli.trial")


class TrialFailed(OrchError):
    """A task failed when it was run for measuring; *why* is what it did, in words."""

    exit_code = 1

    def __init__(self, task: str, way: Way, why: str) -> None:
        super().__init__(f"task {quote(task)} as {way} {why}")
        self.why = why


class Interrupted(Exception):
    """A signal has stopped the measuring; *number* is which."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by signal {number}")
        self.number = number


@contextmanager
def workshop(state: str) -> Iterator[str]:
    """Give a directory for measuring, which is removed in the end.

    Raises ``EnvironmentFault``.
    """
    folder = create_run(state, "trials")
    try:
        yield folder.path
    finally:
        shutil.rmtree(folder.path, ignore_errors=True)
        folder.release()


@contextmanager
def its_turn(plan: Plan, state: str, what: str) -> Iterator[None]:
    """Keep to the ``concurrency`` of the job: *what* is done counts as a run of it.

    Raises ``EnvironmentFault`` where one is under way, also where a run would wait for that.
    """
    turn = turn_of(state, plan, may_wait=False)
    if turn is None:
        yield
        return
    try:
        turn.is_for(what, keeper.started_pid())
        yield
    finally:
        turn.release()


class Way(NamedTuple):
    """How a task is run: a mode, and for programs whether they are forked."""

    mode: str
    start: str = "cold"

    @property
    def is_forked(self) -> bool:
        """Whether a server forks it, which has to start first."""
        return self.mode == "process" or self.start == "warm"

    def __str__(self) -> str:
        """Return it in words."""
        return f"`{self.mode}`" if self.start == "cold" else f"`{self.mode}`, warm"


THREAD = Way("thread")


class Call(NamedTuple):
    """What a task is called with, filled in: *item* is the index of its instance, if it has any."""

    item: int | None
    filled: dict[str, Any]


class Trials:
    """Runs tasks of *loaded* in *folder*; *outputs* are those of earlier tasks, by names.

    *say* is told where a signal has them stop. What is *asked_for* runs whatever its ``when`` says.
    """

    def __init__(
        self,
        loaded: Loaded,
        outputs: dict[str, Any],
        folder: str,
        say: Callable[[str], None],
        asked_for: Collection[str] = (),
    ) -> None:
        self._asked_for = asked_for
        self._loaded, self._outputs, self._say = loaded, outputs, say
        self._folder = folder
        self._is_kept = keeper.is_kept()
        self._is_new = True  # orch has not read the job file for these runs yet
        self.overhead = Overhead()

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a run of the job."""
        own = self._loaded.environment
        return {name: value for name, value in own.items() if value is not None}

    def calls(self, task: PlanTask) -> list[Call]:
        """Return what *task* is called with, for each of its instances that is to run.

        Raises ``TemplateError``: an output is looked up that is not known.
        """
        names = {**self._loaded.names, "run": {"id": "trial", "dir": self._folder}}
        preparer = Preparer(
            root=self._loaded.plan.root, folder=self._folder, run_id="trial", names=names,
            environment={}, python="", socket="",
        )  # fmt: skip
        try:
            return self._filled(task, preparer)
        except TemplateError as error:
            missing = [name for name in task.needs if name not in self._outputs]
            if not missing:
                raise
            what = ", ".join(map(quote, missing))
            raise TemplateError(
                f"it needs the output of {what}, which no recorded run has: run the job first"
            ) from error

    def _filled(self, task: PlanTask, preparer: Preparer) -> list[Call]:
        scope = preparer.scope(task, None, self._outputs)
        if task.many and task.items is None and task.foreach is not None:
            task = replaced(task, items=items_of(templates.fill(task.foreach, scope)))
        indices: Sequence[int | None] = [None] if task.items is None else range(len(task.items))
        found = []
        for index in indices:
            inner = preparer.scope(task, index, self._outputs)
            asks = task.when is not None and task.name not in self._asked_for
            if asks and not condition(task.when, inner):
                continue
            filled = {key: templates.fill(getattr(task, key), inner) for key in _FILLED}
            found.append(Call(index, {key: value for key, value in filled.items() if value}))
        return found

    def is_like(self, name: str, other: str) -> None:
        """Take note that the task *name* has the output that *other* has."""
        if other in self._outputs:
            self._outputs.setdefault(name, self._outputs[other])

    def run(self, task: PlanTask, way: Way, groups: Sequence[Sequence[Call]]) -> list[list[Shot]]:
        """Run *task* in that *way*, once for each call, and return the attempts by groups.

        The calls of a group run at once, and the groups one after the other, in one run of orch.
        Raises ``TrialFailed``, ``Interrupted``, ``EnvironmentFault``.
        """
        calls = list(chain.from_iterable(groups))
        events = self._events(task, way, Staging(
            self._loaded.file or STDIN, None if self._loaded.file else self._loaded.data,
            self._loaded.choices.params, self._loaded.choices.called_from, self._folder, task.name,
            way.mode, way.start, [call.filled for call in calls], list(map(len, groups)), SAMPLE_S,
        ))  # fmt: skip
        shots = self._shots(events, task, way, calls)
        if way.is_forked:
            shots, server_s = served(shots)
            self.overhead.servers.append(server_s)
        if not self._is_new:
            self.overhead.begun(events, processes=way.mode == "process")
        self._is_new = False
        ends = accumulate(map(len, groups), initial=0)
        return [shots[begin:end] for begin, end in pairwise(ends)]

    def _events(self, task: PlanTask, way: Way, staging: Staging) -> list[Any]:
        """Return the events of the run of a trial, which is removed."""
        asked, said = (Path(self._folder, name) for name in ("asked", "said"))
        asked.write_bytes(marshal.dumps([*staging]))
        options = () if self._is_kept else ("--no-keeper",)
        with asked.open("rb") as given, said.open("wb") as told:
            status = self._waited([*_PROGRAM, *options], stdin=given, stderr=told)
        made = runs(Path(self._folder))
        if not made:
            last = said.read_text("utf-8", "replace").strip().rpartition("\n")[2]
            raise EnvironmentFault(f"a trial could not begin: {last.removeprefix('orch: ')}")
        try:
            events = list(Record(made[0]).events())
        finally:
            shutil.rmtree(made[0], ignore_errors=True)
        if status < 0 or not any(isinstance(event, Ended) for event in events):
            raise TrialFailed(task.name, way, _ENDED_ORCH)
        return events

    def _waited(self, argv: Sequence[str], **streams: Any) -> int:
        """Run a program to its end, which a signal asks it for, and return how it ended."""
        process: subprocess.Popen[bytes] | None = None
        stopped: Interrupted | None = None
        while True:
            try:
                if process is None:
                    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, **streams)
                status = process.wait()
            except Interrupted as signalled:
                if process is None:
                    raise
                if stopped is None:  # or people would think that nothing has happened
                    self._say("stopping: what is being measured was asked to end (again: at once)")
                stopped = signalled
                process.send_signal(signalled.number)
                continue
            if stopped is not None:
                raise stopped
            return status

    def _shots(
        self, events: Sequence[Any], task: PlanTask, way: Way, calls: Sequence[Call]
    ) -> list[Shot]:
        """Return the attempts of a trial. Raises ``TrialFailed`` where one did not succeed."""
        ends = {name: (shot, ended) for name, shot, ended in shots_of(events)}
        for event in events:
            if isinstance(event, Ended) and event.outcome != "ok" and event.task not in ends:
                error = event.error
                said = f"{error.type}: {error.message}" if error is not None else event.outcome
                raise TrialFailed(task.name, way, f"failed: {said.splitlines()[0]}")
        if len(ends) < len(calls):
            raise TrialFailed(task.name, way, _ENDED_ORCH)
        if not task.many and task.name not in self._outputs:  # for tasks that look it up
            output = ends[name_of(0)][1].output
            self._outputs[task.name] = {"output": jsonio.loads(output or "null")}
        return [
            replace(ends[name_of(order)][0], item=call.item) for order, call in enumerate(calls)
        ]
