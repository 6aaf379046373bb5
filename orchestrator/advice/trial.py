"""Trials: functions of a job, run for measuring, by orch itself and in real modes."""

from __future__ import annotations

import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

from orchestrator import jsonio
from orchestrator.advice.crowd import served
from orchestrator.advice.shots import Shot, shots_of
from orchestrator.clock import Clock
from orchestrator.errors import OrchError, TemplateError
from orchestrator.events import Ended, StopAsked
from orchestrator.journal import Record
from orchestrator.loading import Loaded
from orchestrator.places import create_run
from orchestrator.plan import templates
from orchestrator.plan.fill import items as items_of
from orchestrator.plan.model import PlanTask
from orchestrator.plan.prepare import Preparer
from orchestrator.records import replaced
from orchestrator.running import Run
from orchestrator.spec.words import quote

_FILLED = ("args", "kwargs", "command", "env", "cwd")
SAMPLE_S = 0.002  # ten times as often as in other runs


class TrialFailed(OrchError):
    """A function failed when it was run for measuring."""

    exit_code = 1


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
    """Runs functions of *loaded* in *folder*; *outputs* are those of earlier tasks, by names.

    *say* is told where a signal has them stop.
    """

    def __init__(
        self, loaded: Loaded, outputs: dict[str, Any], folder: str, say: Callable[[str], None]
    ) -> None:
        self._loaded, self._outputs, self._say = loaded, outputs, say
        self.folder = folder
        self.servers: list[float] = []  # how long each run of processes waited for what forks them

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a run of the job."""
        own = self._loaded.environment
        return {name: value for name, value in own.items() if value is not None}

    def calls(self, task: PlanTask) -> list[Call]:
        """Return what *task* is called with, for each of its instances.

        Raises ``TemplateError``: an output is looked up that is not known.
        """
        names = {**self._loaded.names, "run": {"id": "trial", "dir": self.folder}}
        preparer = Preparer(
            root=self._loaded.plan.root, folder=self.folder, run_id="trial", names=names,
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
            filled = {key: templates.fill(getattr(task, key), inner) for key in _FILLED}
            found.append(Call(index, {key: value for key, value in filled.items() if value}))
        return found

    def run(self, task: PlanTask, way: Way, calls: Sequence[Call], *, alone: int) -> list[Shot]:
        """Run *task* in that *way*, once for each of *calls*, and return the attempts in order.

        The first *alone* of them one after the other, and then the others, all at once.
        Raises ``TrialFailed``, ``Interrupted``, ``JournalError``.
        """
        tasks = {}
        for order, call in enumerate(calls):
            name = f"t{order}"
            needs = (f"t{min(order, alone) - 1}",) if order and alone else ()
            tasks[name] = replaced(
                task, name=name, order=order, needs=needs, mode=way.mode, start=way.start,
                run_when="succeeded", auto=False, when=None, foreach=None, items=None,
                replicas=None, skip=None, templated=False, allow_failure=False, **call.filled,
            )  # fmt: skip
        plan = replaced(
            self._loaded.plan, tasks=tasks, queues={}, pipelines=[], timeout_s=None,
            concurrency="allow", threads=max(self._loaded.plan.threads, len(tasks)),
            processes=max(self._loaded.plan.processes, len(tasks)),
        )  # fmt: skip
        loaded = Loaded(
            self._loaded.data, self._loaded.file, self._loaded.draft, plan, self._loaded.checker,
            environment=self._loaded.environment, names=self._loaded.names,
            choices=self._loaded.choices, secrets=self._loaded.secrets,
        )  # fmt: skip
        state = tempfile.mkdtemp(prefix="trial-", dir=self.folder)
        try:
            run = Run(loaded, Clock(), state_dir=state, fail_fast=True)
            finished = run.go(
                lambda _: (_Stops(self._say),), redirect=True, handle_signals=True,
                sample_s=SAMPLE_S,
                following=f"measure the others by --task: `{task.name}` ended orch as {way}",
            )  # fmt: skip
            if finished.state == "cancelled":
                raise Interrupted(run.ladder.last or signal.SIGTERM)
            shots = self._shots(run.path, task, way, calls)
            if not way.is_forked:
                return shots
            shots, server_s = served(shots)
            self.servers.append(server_s)
            return shots
        finally:
            shutil.rmtree(state, ignore_errors=True)

    def _shots(self, folder: str, task: PlanTask, way: Way, calls: Sequence[Call]) -> list[Shot]:
        """Return the attempts of a trial. Raises ``TrialFailed`` where one did not succeed."""
        events = list(Record(folder).events())
        ends = {name: (shot, ended) for name, shot, ended in shots_of(events)}
        for event in events:
            if isinstance(event, Ended) and event.outcome != "ok" and event.task not in ends:
                error = event.error
                said = f"{error.type}: {error.message}" if error is not None else event.outcome
                why = f"task `{task.name}` failed as {way}: {said.splitlines()[0]}"
                raise TrialFailed(why)
        if not task.many and task.name not in self._outputs:  # for tasks that look it up
            output = ends["t0"][1].output
            self._outputs[task.name] = {"output": jsonio.loads(output or "null")}
        return [replace(ends[f"t{order}"][0], item=call.item) for order, call in enumerate(calls)]


class _Stops:
    """Tells of a signal, or people would think that nothing has happened."""

    tick_s: float | None = None

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say

    def told(self, events: Sequence[Any]) -> None:
        """Say that what is measured was asked to stop."""
        for event in events:
            if isinstance(event, StopAsked) and event.reason == "signal" and not event.force:
                self._say("stopping: what is being measured was asked to end (again: at once)")

    def tick(self) -> None:
        """Nothing to do while nothing happens."""
