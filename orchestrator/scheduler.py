"""The scheduler: what may start now. No I/O, no clock, no threads.

``apply(event)`` folds what happened; ``decide()`` answers with actions. Time arrives inside
events. The cost of both is proportional to what changed, and no walk is recursive, so that a chain
of 100,000 tasks and 50,000 tasks into one are nothing special. ninja's ``Plan``, Dask's
``WorkerState.handle_stimulus`` and TigerBeetle came to the same shape: it can be tested by
simulation.
"""

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any, NamedTuple, TypeAlias
from zlib import crc32

from orchestrator.events import (
    Cancelled,
    Decided,
    Ended,
    Event,
    Expanded,
    Failure,
    Finished,
    Fired,
    Outcome,
    Retrying,
    Returned,
    Skipped,
    Started,
    State,
    StopAsked,
    StopReason,
)
from orchestrator.plan.model import POOL_OF, Plan, PlanTask
from orchestrator.spec.durations import show

WAITING: State = "waiting"
READY: State = "ready"
RUNNING: State = "running"
BACKOFF: State = "backoff"
SUCCEEDED: State = "succeeded"
FAILED: State = "failed"
SKIPPED: State = "skipped"
CANCELLED: State = "cancelled"
FINAL = frozenset({SUCCEEDED, FAILED, SKIPPED, CANCELLED})

TIMEOUT_EXIT_CODE = 124


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


# What is decided and is a fact at once is the recorded event itself, already folded. ``Started``
# asks for the launch, once it is recorded.
Action: TypeAlias = (
    Started
    | Ended
    | Expanded
    | Stop
    | Arm
    | Resolve
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
    task's). *held*: a thread that was given up still runs, so there is no next try yet.
    """

    __slots__ = (
        "attempt", "begun", "children", "dependents", "failed_needs", "group", "held", "idle_needs",
        "left", "name", "order", "pool", "resolving", "spec", "started_at", "state", "stopping",
        "waits",
    )  # fmt: skip

    def __init__(self, name: str, order: int, spec: PlanTask, group: "Node | None" = None) -> None:
        self.name, self.order, self.spec, self.group = name, order, spec, group
        self.pool = POOL_OF[spec.mode]
        self.state: State = WAITING
        self.attempt = 0
        self.waits = self.failed_needs = self.idle_needs = self.left = 0
        self.dependents: list[Node] = []
        self.stopping: Outcome | None = None
        self.resolving = False
        self.started_at = 0.0  # of its newest attempt
        self.begun = False  # any attempt of it, or of an instance of it, was started
        self.held = False
        self.children: list[Node] | None = None


class Scheduler:
    """The state of one run, and what follows from it."""

    def __init__(self, plan: Plan, run_id: str = "", *, fail_fast: bool = False) -> None:
        self.plan, self.run_id, self.fail_fast = plan, run_id, fail_fast
        self.nodes: dict[str, Node] = {}
        self.running: dict[str, Node] = {}
        self.counts: dict[State, int] = dict.fromkeys(
            (WAITING, READY, RUNNING, BACKOFF, SUCCEEDED, FAILED, SKIPPED, CANCELLED), 0
        )
        self.free = {"threads": plan.threads, "processes": plan.processes}
        self.stopping: StopReason | None = None
        self.forced = False
        self.done = False
        self.now = 0.0
        self.failures = 0
        self.unfinished = 0
        self._fail_fast_due = self._cleanup_armed = False
        self._moves = 0  # what brought the run on so far: starts, ends, returns, answers
        self._stall_armed = -1  # the count of moves for which the stall timer was armed
        self._folding = False
        self._resolving = 0
        self._stop_signal: int | None = None
        self._given_up = 0
        self._ready: dict[str, list[tuple[int, int, int, Node]]] = {"threads": [], "processes": []}
        self._open: list[Node] = []
        self._unasked: list[Node] = []
        self._actions: list[Action] = []
        self._folds: dict[type[Any], Callable[[Any], Event | None]] = {
            Started: self._started,
            Ended: self._ended,
            Returned: self._returned,
            Retrying: self._retrying,
            Skipped: self._skipped,
            Cancelled: self._cancelled,
            Expanded: self._expanded,
            Decided: self._decided,
            StopAsked: self._stop_asked,
            Finished: self._finished,
            Fired: self._fired,
        }
        self._build()

    def _build(self) -> None:
        for name, spec in self.plan.tasks.items():
            self.nodes[name] = Node(name, spec.order, spec)
        for name, spec in self.plan.tasks.items():
            node = self.nodes[name]
            node.waits = len(spec.needs)
            for need in spec.needs:
                self.nodes[need].dependents.append(node)
        self.unfinished = self.counts[WAITING] = len(self.nodes)
        self._open = [node for node in self.nodes.values() if node.waits == 0]
        if self.plan.timeout_s is not None:
            self._actions.append(Arm(("run",), self.plan.timeout_s))

    # What happened

    def apply(self, event: Event) -> Event | None:
        """Fold *event* and return it as it counts; None where it is late, twice or unknown."""
        self.now = event.at
        fold = self._folds.get(event.__class__)
        return fold(event) if fold is not None else None

    def fold(self, event: Event) -> None:
        """Take a recorded *event* into account, as recovery does: nothing is decided by it."""
        self._folding = True
        self.apply(event)
        self._folding = False
        self._actions.clear()

    def _node(self, task: str, attempt: int) -> Node | None:
        """Return the node if *attempt* is the one that is under way."""
        node = self.running.get(task)
        return node if node is not None and node.attempt == attempt else None

    def _started(self, event: Started) -> Event | None:
        node = self.nodes.get(event.task)
        if node is None or node.state in FINAL or node.state is RUNNING:
            return None
        node.attempt = event.attempt - 1
        self._start(node)
        return event

    def _start(self, node: Node) -> None:
        node.attempt += 1
        self._moves += 1
        node.started_at = self.now
        node.begun = True
        if node.group is not None:
            node.group.begun = True
        node.stopping = None
        if node.resolving:
            self._resolved(node)
        self.free[node.pool] -= 1
        self._move(node, RUNNING)
        self.running[node.name] = node

    def _ended(self, event: Ended) -> Event | None:
        if event.attempt == 0:
            return self._unprepared(event)
        node = self._node(event.task, event.attempt)
        if node is None:
            return None
        del self.running[node.name]
        self._moves += 1
        if node.stopping is not None and not self._folding:
            event = self._stopped(node, event)
        if event.left_running:
            node.held = True
            self._given_up += 1
        if not event.left_running or self._given_up <= self.plan.threads:
            self.free[node.pool] += 1
        if event.outcome == "ok":
            self._end(node, SUCCEEDED)
        elif event.outcome == "stopped":
            self._end(node, CANCELLED)
        elif self._tries_again(node, event):
            self._move(node, BACKOFF)
            if not node.held:
                self._retry(node)
        else:
            self._end(node, FAILED)
        return event

    def _stopped(self, node: Node, event: Ended) -> Ended:
        """Return *event* as the end of an attempt that was told to: no result, whatever it says."""
        assert node.stopping is not None
        trace = event.error.traceback if event.error is not None else None
        if node.stopping == "timed_out":
            message = f"timed out after {show(node.spec.timeout_s or 0.0)}"
            error = Failure("Timeout", message, trace)
        else:
            error = Failure("Stopped", "stopped with the run", trace)
        return event._replace(outcome=node.stopping, output=None, error=error)

    def _unprepared(self, event: Ended) -> Event | None:
        """Fold the end of a task whose condition, or items, could not be told."""
        node = self.nodes.get(event.task)
        if node is None or node.state in FINAL or node.state is RUNNING:
            return None
        if not (self._folding or node.resolving):
            return None
        self._end(node, FAILED)
        return event

    def _resolved(self, node: Node) -> None:
        self._resolving -= node.resolving
        self._moves += node.resolving
        node.resolving = False

    def _tries_again(self, node: Node, event: Ended) -> bool:
        return not event.final and self.stopping is None and node.attempt < node.spec.retry.attempts

    def _retry(self, node: Node) -> None:
        # by chance, and yet the same whenever this run is folded again
        chance = crc32(f"{self.run_id}/{node.name}/{node.attempt}".encode()) / 2**32
        delay_s = node.spec.retry.delay_after(node.attempt, chance)
        self._actions.append(Retrying(node.name, node.attempt, delay_s, self.now))
        self._actions.append(Arm(("retry", node.name, node.attempt), delay_s))

    def _retrying(self, event: Retrying) -> Event | None:
        node = self.nodes.get(event.task)
        if node is None or node.state is not BACKOFF or node.attempt != event.attempt:
            return None
        return event

    def _returned(self, event: Returned) -> Event | None:
        node = self.nodes.get(event.task)
        if node is None or not node.held or node.attempt != event.attempt:
            return None
        node.held = False
        self._moves += 1
        if self._given_up > self.plan.threads:
            self.free[node.pool] += 1
        self._given_up -= 1
        if node.state is BACKOFF:
            self._retry(node)
        return event

    def _skipped(self, event: Skipped) -> Event | None:
        node = self.nodes.get(event.task)
        if node is None or node.state is not WAITING:
            return None
        self._skip(node, failure=event.failure)
        return event

    def _cancelled(self, event: Cancelled) -> Event | None:
        node = self.nodes.get(event.task)
        if node is None or node.state in FINAL or node.state is RUNNING:
            return None
        self._end(node, CANCELLED)
        return event

    def _expanded(self, event: Expanded) -> Event | None:
        node = self.nodes.get(event.task)
        if node is None or node.children is not None or node.state is not WAITING:
            return None
        self._resolved(node)
        self._expand(node, event.instances)
        return event

    def _decided(self, event: Decided) -> Event | None:
        node = self.nodes.get(event.task)
        if node is None or not node.resolving or node.state is not WAITING:
            return None
        self._resolved(node)
        if event.run:
            self._make_ready(node)
        else:
            self._settle_skipped(node, "`when` is false", failure=False)
        return event

    def _fired(self, event: Fired) -> Event | None:
        match event.timer:
            case (kind, task, attempt):
                self._fired_for(kind, task, attempt)
            case ("stall", moves):
                if moves == self._moves and self._is_stalled():
                    self._moves += 1
                    self._give_up_waiting()
            case ("run",):
                return self._stop_asked(StopAsked("timeout", False, event.at))
            case ("cleanup",):
                return self._stop_asked(StopAsked(self.stopping or "signal", True, event.at))
        return None

    def _fired_for(self, kind: str, task: str, attempt: int) -> None:
        """Fold a timer of one attempt, unless that has ended in the meantime."""
        node = self.nodes[task]
        if kind == "retry":
            if node.state is BACKOFF and node.attempt == attempt:
                self._make_ready(node)
        elif self._node(task, attempt) is None:
            return
        elif kind == "grace":
            self._actions.append(Stop(task, attempt, True))
        elif node.stopping is None:
            self._stop(node, "timed_out")

    def _finished(self, event: Finished) -> Event | None:
        self.done = True
        return event

    # Stopping

    def _stop(self, node: Node, outcome: Outcome) -> None:
        node.stopping = outcome
        self._actions.append(Stop(node.name, node.attempt, False))
        self._actions.append(Arm(("grace", node.name, node.attempt), node.spec.grace_s))

    def _stop_asked(self, event: StopAsked) -> Event | None:
        if self.done or (self.forced if event.force else self.stopping is not None):
            return None
        first = self.stopping is None
        self.stopping = self.stopping or event.reason
        self._stop_signal = self._stop_signal or event.signal
        self.forced = event.force
        if self._folding:
            return event  # what was stopped and cancelled for it is on record itself
        if event.force:
            for node in self.running.values():
                node.stopping = node.stopping or "stopped"
                self._actions.append(Stop(node.name, node.attempt, True))
        else:
            for node in self.running.values():
                if node.stopping is None:
                    self._stop(node, "stopped")
        if first or event.force:
            self._cancel_what_waits()
        return event

    def _cancel_what_waits(self) -> None:
        """Cancel all that has not started, but for cleanup tasks whose needs have begun."""
        for node in list(self.nodes.values()):
            if node.state in FINAL or node.state is RUNNING or node.left:
                continue
            if node.spec.skip is not None:
                self._settle_skipped(node, node.spec.skip, failure=False)
            elif self.forced or not self._is_cleanup(node):
                self._cancel(node)

    def _is_cleanup(self, node: Node) -> bool:
        """Tell whether *node* may still make its first attempt after a stop."""
        spec = node.spec
        first = spec.run_when == "always" and node.attempt == 0
        return first and any(self.nodes[need].begun for need in spec.needs)

    def _cancel(self, node: Node) -> None:
        self._actions.append(Cancelled(node.name, self.now))
        self._end(node, CANCELLED)

    # What follows

    def _move(self, node: Node, state: State) -> None:
        self.counts[node.state] -= 1
        self.counts[state] += 1
        node.state = state

    def _make_ready(self, node: Node) -> None:
        self._move(node, READY)
        entry = (-node.spec.priority, node.spec.order, node.order, node)
        heappush(self._ready[node.pool], entry)

    def _skip(self, node: Node, *, failure: bool) -> None:
        if failure:
            self.failures += 1
        self._end(node, SKIPPED, failure=failure)

    def _end(self, node: Node, state: State, *, failure: bool = False) -> None:
        """Give *node* its last state and tell those that wait for it."""
        if state is FAILED and not node.spec.allow_failure:
            self.failures += 1
            self._fail_fast_due = self.fail_fast and self.stopping is None
        if node.resolving:
            self._resolved(node)
        self._move(node, state)
        group = node.group
        if group is not None:
            group.left -= 1
            if group.left:
                return
            node, state = group, worst({child.state for child in group.children or ()})
            node.state = state
        self.unfinished -= 1
        failed = failure or (state in (FAILED, CANCELLED) and not node.spec.allow_failure)
        idle = state is SKIPPED and not failed and node.spec.skip is None
        for dependent in node.dependents:
            dependent.waits -= 1
            dependent.failed_needs += failed
            dependent.idle_needs += idle
            if dependent.waits == 0 and dependent.state is WAITING:
                self._open.append(dependent)

    def _expand(self, node: Node, count: int) -> None:
        node.children = [
            Node(f"{node.name}.{index}", index, node.spec, node) for index in range(count)
        ]
        if count == 0:
            self._end(node, SUCCEEDED)
            return
        node.left = count
        self.counts[WAITING] += count - 1  # the instances are counted, not the whole
        for child in node.children:
            self.nodes[child.name] = child
            self._admit(child)

    # What to do

    def decide(self, now: float) -> list[Action]:
        """Return what is to be done at *now*; facts among it (``Skipped`` …) are folded already."""
        self.now = now
        if self._fail_fast_due:
            self._fail_fast_due = False
            asked = StopAsked("fail_fast", False, self.now)
            if self._stop_asked(asked) is not None:
                self._actions.insert(0, asked)
        self._ask_after_folding()
        while self._open:
            self._settle(self._open.pop())
        actions, self._actions = self._actions, []
        for pool, heap in self._ready.items():
            while heap and self.free[pool] > 0:
                node = heappop(heap)[3]
                if node.state is READY:
                    self._launch(node, actions)
        if self.unfinished == 0 and not self.running and not self.done and not self._actions:
            actions.append(self._finish())
        elif self._stall_armed != self._moves and self._is_stalled():
            self._stall_armed = self._moves
            actions.append(Arm(("stall", self._moves), self.plan.grace_s))
        return actions

    def _is_stalled(self) -> bool:
        """Tell whether only threads that were given up could bring the run on."""
        if self.running or self.done or self._resolving or not self._given_up or self._open:
            return False
        if any(node.state is BACKOFF and not node.held for node in self._backing_off()):
            return False
        return self.unfinished > 0

    def _backing_off(self) -> list[Node]:
        if not self.counts[BACKOFF]:
            return []
        return [node for node in self.nodes.values() if node.state is BACKOFF]

    def _give_up_waiting(self) -> None:
        """End what waits for threads that are stuck: they do not keep the run from ending."""
        for node in [node for node in self.nodes.values() if node.state in (READY, BACKOFF)]:
            if node.held:
                message = "the thread of its last attempt is stuck"
            else:
                message = f"all {self.plan.threads} threads are stuck in other tasks"
            failure = Failure("LaunchError", message)
            self._actions.append(
                Ended(node.name, 0, "launch_failed", self.now, error=failure, final=True)
            )
            self._end(node, FAILED)

    def _launch(self, node: Node, actions: list[Action]) -> None:
        self._start(node)
        actions.append(Started(node.name, node.attempt, self.now))
        if node.spec.timeout_s is not None:
            timer = ("timeout", node.name, node.attempt)
            actions.append(Arm(timer, node.spec.timeout_s))
        if self.stopping is not None and not self._cleanup_armed:
            # what cleans up has one grace together
            self._cleanup_armed = True
            actions.append(Arm(("cleanup",), self.plan.grace_s))

    def _settle(self, node: Node) -> None:
        """Decide on a task whose needs have all ended."""
        if node.state is not WAITING or node.children is not None or node.resolving:
            return None
        spec = node.spec
        if spec.skip is not None:
            return self._settle_skipped(node, spec.skip, failure=False)
        if self.stopping is not None and (self.forced or not self._is_cleanup(node)):
            return self._cancel(node)
        if spec.run_when == "succeeded":
            if node.failed_needs:
                reason = "what it needs failed"
                return self._settle_skipped(node, reason, failure=True)
            if node.idle_needs:
                return self._settle_skipped(node, "what it needs was skipped", failure=False)
        elif spec.run_when == "failed" and not node.failed_needs:
            return self._settle_skipped(node, "nothing failed", failure=False)
        if not spec.many:
            return self._admit(node)
        if spec.items is None:
            return self._ask(node)
        # on record too, so that what follows can be folded; the items are in the job file
        self._actions.append(Expanded(node.name, "null", len(spec.items), self.now))
        return self._expand(node, len(spec.items))

    def _ask(self, node: Node) -> None:
        if self._folding:  # how its condition came out may be on record yet
            self._unasked.append(node)
            return
        node.resolving = True
        self._resolving += 1
        self._actions.append(Resolve(node.name))

    def _ask_after_folding(self) -> None:
        unasked, self._unasked = self._unasked, []
        for node in unasked:
            if node.state is WAITING:
                self._ask(node)

    def _settle_skipped(self, node: Node, reason: str, *, failure: bool) -> None:
        self._actions.append(Skipped(node.name, reason, failure, self.now))
        self._skip(node, failure=failure)

    def _admit(self, node: Node) -> None:
        """Make a task or an instance ready, or ask for its condition first."""
        if node.spec.when is None:
            self._make_ready(node)
        else:
            self._ask(node)

    def _finish(self) -> Finished:
        self.done = True
        if self.stopping == "timeout":
            return Finished("failed", TIMEOUT_EXIT_CODE, self.now)
        if self.stopping == "signal":
            return Finished("cancelled", 128 + (self._stop_signal or 0), self.now)
        if self.failures:
            return Finished("failed", 1, self.now)
        return Finished("succeeded", 0, self.now)


def worst(states: set[State]) -> State:
    """Return the state of a whole from those of its instances; with none, it succeeded."""
    for state in (RUNNING, BACKOFF, READY, WAITING, FAILED, CANCELLED, SUCCEEDED, SKIPPED):
        if state in states:
            return state
    return SUCCEEDED
