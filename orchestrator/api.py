"""orch from Python: the same job files, a typed result.

>>> from orchestrator import load_job, run_job
>>> result = run_job(load_job("job.yaml"), params={"top": 5})
>>> result.tasks["total"].output
"""

from __future__ import annotations

import signal
import threading
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.clock import Clock
from orchestrator.loading import Choices, load
from orchestrator.report.document import View
from orchestrator.running import Run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from typing import Any, Literal

    from orchestrator.events import Outcome, RunState, State
    from orchestrator.loading import Loaded
    from orchestrator.plan.model import Plan


@dataclass(frozen=True, slots=True)
class TaskError:
    """Why a task failed: the exception's qualified class name, its text, its traceback."""

    type: str
    message: str
    traceback: str | None


@dataclass(frozen=True, slots=True)
class TaskResult:
    """How a task ended. *duration_s* is that of its last attempt; *output* is JSON data.

    *cost* is what the last attempt took, in the units that its keys end with: what its mode can
    tell; None where none has ended.
    """

    name: str
    state: State
    mode: Literal["thread", "process", "interpreter", "subprocess"]
    attempts: int
    outcome: Outcome | None
    exit_status: int | None
    signal: int | None
    duration_s: float | None
    cost: Mapping[str, float] | None
    output: Any
    error: TaskError | None
    stdout: Path | None
    stderr: Path | None
    instances: Mapping[str, TaskResult] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class QueueResult:
    """What a queue saw; None for what was not counted because it was a plain pipe (*direct*).

    *full* and *empty* are the shares of its time during which a publisher, or a consumer, waited;
    the seconds are added over all of them.
    """

    name: str
    direct: bool
    publishers: Sequence[str]
    consumers: Sequence[str]
    items_in: int | None
    items_out: int | None
    depth: int | None
    depth_max: int | None
    publishers_blocked_s: float | None
    consumers_starved_s: float | None
    full: float | None
    empty: float | None
    dead_letters: int


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a run ended: what ``orch run --json`` prints, typed.

    *bottleneck* names the ``task`` that the others waited for, and the ``queue`` that shows it.
    """

    run: str
    job: str
    state: RunState
    exit_code: int | None
    started_at: str
    duration_s: float | None
    tasks: Mapping[str, TaskResult]
    queues: Mapping[str, QueueResult]
    bottleneck: Mapping[str, Any] | None
    folder: Path

    @property
    def ok(self) -> bool:
        """Whether all wanted tasks succeeded."""
        return self.state == "succeeded"


@dataclass(frozen=True, slots=True)
class Job:
    """A job file that was read and checked. *params* names what ``run_job`` may be given."""

    file: Path
    plan: Plan

    @property
    def name(self) -> str:
        """The job's name."""
        return self.plan.name


def load_job(file: str | Path) -> Job:
    """Read and check a job file.

    Required parameters may still be missing. Raises ``SpecError``, its ``reports`` naming
    everything that is wrong.
    """
    loaded = load(str(file), lenient=True)
    return Job(Path(file).absolute(), loaded.plan)


def run_job(
    job: Job | str | Path,
    params: Mapping[str, Any] | None = None,
    *,
    only: Collection[str] = (),
    skip: Collection[str] = (),
    fail_fast: bool = False,
    state_dir: str | Path | None = None,
) -> RunResult:
    """Run *job* to its end and return how it went; failing tasks raise nothing.

    For as long as it runs, the process has the job's environment, its root as working directory,
    and streams that tell the tasks' output apart; all are put back. In the main thread Ctrl-C
    stops the run and raises ``KeyboardInterrupt`` once everything has ended.

    Raises ``SpecError``, ``UsageError`` (parameters, unknown tasks), ``EnvironmentFault``.
    """
    clock = Clock()
    file = job.file if isinstance(job, Job) else job
    choices = Choices(params=dict(params or {}), only=only, skip=skip)
    loaded: Loaded = load(str(file), choices)
    if any(task.auto for task in loaded.plan.tasks.values()):
        from orchestrator.advice import auto  # noqa: PLC0415 - few leave it open

        auto.settle(loaded, str(state_dir) if state_dir else None)
    run = Run(loaded, clock, state_dir=str(state_dir) if state_dir else None, fail_fast=fail_fast)
    main = threading.current_thread() is threading.main_thread()
    run.go(lambda _: (), redirect=False, handle_signals=main)
    if run.ladder.last == signal.SIGINT:
        raise KeyboardInterrupt
    return result_of(View.of(Path(run.path)).document(), Path(run.path))


def result_of(document: Mapping[str, Any], folder: Path) -> RunResult:
    """Return the typed form of the document of ``run --json`` and ``show --json``."""
    tasks = {name: _task(name, fields) for name, fields in document["tasks"].items()}
    queues = {name: QueueResult(name, **fields) for name, fields in document["queues"].items()}
    return RunResult(**{**document, "tasks": tasks, "queues": queues}, folder=folder)


def _task(name: str, fields: Mapping[str, Any]) -> TaskResult:
    inner = {each: _task(each, one) for each, one in fields.get("instances", {}).items()}
    error = TaskError(**fields["error"]) if fields["error"] else None
    places = {key: Path(fields[key]) if fields[key] else None for key in ("stdout", "stderr")}
    return TaskResult(**{**fields, "error": error, "instances": inner, **places}, name=name)
