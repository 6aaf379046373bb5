"""What the scheduler knows of a task, and what it asks of the loop."""

from __future__ import annotations

from orchestrator.plan.model import POOL_OF
from orchestrator.records import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeAlias

    from orchestrator.events import (
        Cancelled,
        Drained,
        Ended,
        Expanded,
        Finished,
        Outcome,
        Retrying,
        Skipped,
        Started,
        State,
        StopAsked,
    )
    from orchestrator.pipelines import Member
    from orchestrator.plan.model import PlanTask


WAITING: State = "waiting"
READY: State = "ready"
RUNNING: State = "running"
BACKOFF: State = "backoff"
SUCCEEDED: State = "succeeded"
FAILED: State = "failed"
SKIPPED: State = "skipped"
CANCELLED: State = "cancelled"
FINAL = frozenset({SUCCEEDED, FAILED, SKIPPED, CANCELLED})
_WORST_FIRST = (RUNNING, BACKOFF, READY, WAITING, FAILED, CANCELLED, SUCCEEDED, SKIPPED)


class Stop(NamedTuple):
    """Ask an attempt to end, or end it (*force*)."""

    task: str
    attempt: int
    force: bool


class Arm(NamedTuple):
    """Post ``Fired(timer)`` after *delay_s*."""

    timer: tuple[Any, ...]
    delay_s: float


class Resolve(NamedTuple):
    """Look at the condition (post ``Decided``) or the items (post ``Expanded``) of *task*."""

    task: str


class Feed(NamedTuple):
    """Take up to *most* more items for *task*: post ``Arrived`` for each, ``Drained`` at the end.

    They may come much later, and fewer than were asked for.
    """

    task: str
    most: int


class StopFeed(NamedTuple):
    """Take no more items for *task*."""

    task: str


class GiveBack(NamedTuple):
    """The item of instance *task*, which was not begun, is for others."""

    task: str


class EndQueue(NamedTuple):
    """All who fill *queue* have ended: its consumers see the end after what is left in it."""

    queue: str


class CloseQueue(NamedTuple):
    """Nobody reads *queue* any more: who publishes to it is told so at the next item.

    With *drain* they are not told, and what they publish is thrown away.
    """

    queue: str
    drain: bool


class SetAside(NamedTuple):
    """The item of instance *task* failed for good: keep it in the queue's dead letters."""

    queue: str
    task: str


class Over(NamedTuple):
    """All who were joined by *queues* have ended: measure them (``Measured``) and let them go."""

    queues: tuple[str, ...]


class Forget(NamedTuple):
    """The item of instance *task* is needed no longer."""

    task: str


if TYPE_CHECKING:
    # What is decided and is a fact at once is the recorded event itself, already folded.
    # ``Started`` asks for the launch, once it is recorded.
    Action: TypeAlias = (
        Started
        | Ended
        | Expanded
        | Drained
        | Stop
        | Arm
        | Resolve
        | Feed
        | StopFeed
        | GiveBack
        | EndQueue
        | CloseQueue
        | SetAside
        | Over
        | Forget
        | Skipped
        | Cancelled
        | Retrying
        | StopAsked
        | Finished
    )


class Node:
    """A task, or an instance of one: what the scheduler knows of it.

    *waits* counts needs that have not ended; *failed_needs* and *idle_needs* those that failed and
    those that were skipped without a failure. A task with instances is a node of its own
    (*children*; *left* counts those that have not ended), and so is each instance (*group* is the
    task's). *held*: a thread that was given up still runs, so there is no next try yet. *member* is
    what is known of it as a part of a pipeline. *base* is the number of its last attempt before
    this session of the run.
    """

    __slots__ = (
        "attempt", "base", "begun", "children", "dependents", "failed_needs", "group", "held",
        "idle_needs", "left", "member", "name", "order", "pool", "ready_at", "resolving", "spec",
        "started_at", "state", "stopping", "waits",
    )  # fmt: skip

    def __init__(self, name: str, order: int, spec: PlanTask, group: Node | None = None) -> None:
        self.name, self.order, self.spec, self.group = name, order, spec, group
        self.pool = POOL_OF[spec.mode]
        self.state: State = WAITING
        self.attempt = self.base = 0
        self.waits = self.failed_needs = self.idle_needs = self.left = 0
        self.dependents: list[Node] = []
        self.stopping: Outcome | None = None
        self.resolving = False
        self.started_at = self.ready_at = 0.0  # of its newest attempt
        self.begun = False  # any attempt of it, or of an instance of it, was started
        self.held = False
        self.children: list[Node] | None = None
        self.member: Member | None = group.member if group is not None else None

    @property
    def tries(self) -> int:
        """How many attempts it has made in this session of the run."""
        return self.attempt - self.base


def worst(states: set[State]) -> State:
    """Return the state of a whole from those of its instances; with none, it succeeded."""
    for state in _WORST_FIRST:
        if state in states:
            return state
    return SUCCEEDED
