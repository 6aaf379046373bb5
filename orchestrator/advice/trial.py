"""Trials: functions of a job, run for measuring, by orch itself and in real modes."""

from __future__ import annotations

import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

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
from orchestrator.plan.model import NO_RETRY, PlanTask
from orchestrator.plan.prepare import Preparer
from orchestrator.records import fields_of
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


class Trials:
    """Runs functions of *loaded*; *outputs* are those of earlier tasks, as JSON data, by names.

    *say* is told where a signal has them stop.
    """

    def __init__(
        self, loaded: Loaded, outputs: Mapping[str, Any], state: str, say: Callable[[str], None]
    ) -> None:
        self._loaded, self._outputs, self._say = loaded, outputs, say
        self.folder = state
        self.servers: list[float] = []  # how long each run of processes waited for what forks them

    def arguments(self, task: PlanTask) -> list[dict[str, Any]]:
        """Return what *task* is called with, filled in, for each of its instances.

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

    def _filled(self, task: PlanTask, preparer: Preparer) -> list[dict[str, Any]]:
        scope = preparer.scope(task, None, self._outputs)
        if task.many and task.items is None and task.foreach is not None:
            task = replace_fields(task, items=items_of(templates.fill(task.foreach, scope)))
        indices: Sequence[int | None] = [None] if task.items is None else range(len(task.items))
        found = []
        for index in indices:
            inner = preparer.scope(task, index, self._outputs)
            filled = {key: templates.fill(getattr(task, key), inner) for key in _FILLED}
            found.append({key: value for key, value in filled.items() if value})
        return found

    def run(
        self, task: PlanTask, way: Way, calls: Sequence[Mapping[str, Any]], *, alone: int
    ) -> list[Shot]:
        """Run *task* in that *way*, once for each of *calls*, and return the attempts in order.

        The first *alone* of them one after the other, and then the others, all at once.
        Raises ``TrialFailed``, ``Interrupted``, ``JournalError``.
        """
        tasks = {}
        for order, call in enumerate(calls):
            name = f"t{order}"
            needs = (f"t{min(order, alone) - 1}",) if order and alone else ()
            tasks[name] = replace_fields(
                task, name=name, order=order, needs=needs, mode=way.mode, start=way.start,
                run_when="succeeded", auto=False, when=None, foreach=None, items=None,
                replicas=None, retry=NO_RETRY, skip=None, templated=False,
                allow_failure=False, resources={}, **call,
            )  # fmt: skip
        plan = replace_fields(
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
            shots = _shots(run.path, task.name, way)
            if not way.is_forked:
                return shots
            shots, server_s = served(shots)
            self.servers.append(server_s)
            return shots
        finally:
            shutil.rmtree(state, ignore_errors=True)


class _Stops:
    """Tells of a signal, or people would think that nothing has happened."""

    tick_s: float | None = None

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say

    def told(self, events: Sequence[Any]) -> None:
        """Say that what is measured was asked to stop."""
        for event in events:
            if isinstance(event, StopAsked) and not event.force:
                self._say("stopping: what is being measured was asked to end (again: at once)")

    def tick(self) -> None:
        """Nothing to do while nothing happens."""


def _shots(folder: str, name: str, way: Way) -> list[Shot]:
    """Return the attempts of a trial. Raises ``TrialFailed`` where one did not succeed."""
    events = list(Record(folder).events())
    for event in events:
        if isinstance(event, Ended) and event.outcome != "ok":
            error = event.error
            said = f"{error.type}: {error.message}" if error is not None else event.outcome
            raise TrialFailed(f"task `{name}` failed as {way}: {said.splitlines()[0]}")
    by_name = {name: shot for name, shot, _ in shots_of(events)}
    return [by_name[f"t{order}"] for order in range(len(by_name))]


def replace_fields(record: Any, **changes: Any) -> Any:
    """Return a copy of a task or a plan with other values of some fields."""
    return type(record)(**{**fields_of(record), **changes})
