"""The scheduler: what may start now. No I/O, no clock, no threads.

``apply(event)`` folds what happened; ``decide()`` answers with actions. Time arrives inside
events. The cost of both is proportional to what changed, and no walk is recursive, so that a chain
of 100,000 tasks and 50,000 tasks into one are nothing special. ninja's ``Plan``, Dask's
``WorkerState.handle_stimulus`` and TigerBeetle came to the same shape: it can be tested by
simulation.
"""

from __future__ import annotations

from heapq import heappop, heappush
from zlib import crc32

from orchestrator.events import (
    Arrived,
    Cancelled,
    Decided,
    Drained,
    Ended,
    Expanded,
    Failure,
    Finished,
    Fired,
    Left,
    Measured,
    Postponed,
    Retrying,
    Returned,
    Skipped,
    Spoiled,
    Started,
    StopAsked,
)
from orchestrator.nodes import (
    BACKOFF,
    CANCELLED,
    FAILED,
    FINAL,
    READY,
    RUNNING,
    SKIPPED,
    SUCCEEDED,
    WAITING,
    Arm,
    Node,
    Resolve,
    Stop,
    worst,
)
from orchestrator.pipelines import LEAVING_S, Pipelines, harmless, tolerated
from orchestrator.room import PATIENCE_S, Room
from orchestrator.semaphores import Semaphores, held_by_a_stuck_thread
from orchestrator.spec.durations import show

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping
    from typing import Any

    from orchestrator.events import (
        Event,
        Outcome,
        Recorded,
        State,
        StopReason,
    )
    from orchestrator.nodes import (
        Action,
    )
    from orchestrator.pipelines import Rank
    from orchestrator.plan.model import Plan, Pool
    from orchestrator.semaphores import Claim, Entry

TIMEOUT_EXIT_CODE = 124
# Clocks that are read one after the other may differ by as much when what they said is subtracted.
_ROUNDING_S = 1e-6


class Scheduler:
    """The state of one run, and what follows from it."""

    patience_s = PATIENCE_S

    def __init__(self, plan: Plan, run_id: str = "", *, fail_fast: bool = False) -> None:
        self.plan, self.run_id, self.fail_fast = plan, run_id, fail_fast
        self.nodes: dict[str, Node] = {}
        self.running: dict[str, Node] = {}
        self.counts: dict[State, int] = dict.fromkeys(
            (WAITING, READY, RUNNING, BACKOFF, SUCCEEDED, FAILED, SKIPPED, CANCELLED), 0
        )
        self.free: dict[Pool, int] = {"threads": plan.threads, "processes": plan.processes}
        self.semaphores = Semaphores(plan.resources)
        self.room: dict[Pool, Room] = {}  # of pools for which the system had no means once
        self.stopping: StopReason | None = None
        self.forced = False
        self.done = False
        self.now = 0.0
        self.failures = 0
        self.unfinished = 0
        self._fail_fast_due = self._cleanup_armed = False
        self._moves = 0  # what brought the run on so far: starts, ends, returns, answers
        self._stall_armed = -1  # the count of moves for which the stall timer was armed
        self.folding = False
        self._resolving = 0
        self._stop_signal: int | None = None
        self._given_up = 0
        self._ready: dict[Pool, list[tuple[int, int, int, Node]]] = {"threads": [], "processes": []}
        self._attempts: Mapping[str, int] = {}  # made in earlier sessions
        self._refused: frozenset[str] = frozenset()
        self._kept: dict[Pool, Rank] = {}
        self._open: list[Node] = []
        self._unasked: list[Node] = []
        self._actions: list[Action] = []
        self._build()
        self.pipelines = Pipelines(self)
        self._folds: dict[type[Any], Callable[[Any], Event | None]] = {
            Started: self._started,
            Ended: self._ended,
            Postponed: self._postponed,
            Returned: self._returned,
            Retrying: self._retrying,
            Skipped: self._skipped,
            Cancelled: self._cancelled,
            Expanded: self._expanded,
            Arrived: self.pipelines.arrived,
            Drained: self.pipelines.drained,
            Measured: lambda event: event,
            Left: self._left,
            Spoiled: self._spoiled,
            Decided: self._decided,
            StopAsked: self._stop_asked,
            Finished: self._finished,
            Fired: self._fired,
        }

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
        self.folding = True
        self.apply(event)
        self.folding = False
        self._actions.clear()

    def recall(
        self, events: Iterable[Recorded], attempts: Mapping[str, int], refused: Collection[str] = ()
    ) -> None:
        """Begin where an earlier session of the run has ended.

        *events* are what still counts of it, *attempts* how many each task and instance has made;
        those *refused* are not to be started.
        """
        self._attempts, self._refused = attempts, frozenset(refused)
        for node in self.nodes.values():
            self._number(node)
        actions = self._actions
        for event in events:
            self._actions = []
            self.fold(event)
        self._actions = actions
        self.now = 0.0
        self.pipelines.begin_anew()

    def _number(self, node: Node) -> None:
        """Let the numbers of the attempts of *node* go on."""
        node.attempt = node.base = self._attempts.get(node.name, 0)

    def new_instance(self, group: Node, index: int) -> Node:
        """Return a new instance of *group*; it is known from now on."""
        node = Node(f"{group.name}.{index}", index, group.spec, group)
        if self._attempts:
            self._number(node)
        self.nodes[node.name] = node
        return node

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
        if node.member is None:
            self.free[node.pool] -= 1
            if node.spec.resources:
                self.semaphores.take(node)
        else:
            self.pipelines.take(node)
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
        if self.room and event.outcome != "launch_failed":
            self._has_means(node)
        if not self.folding:
            event = self._as_it_counts(node, event)
        if event.left_running:
            node.held = True
            self._given_up += 1
        if event.outcome == "ok":
            self._end(node, SUCCEEDED)
        elif event.outcome == "stopped":
            self._end(node, CANCELLED)
        elif self._tries_again(node, event):
            self._back_off(node)
        else:
            self._end(node, FAILED)
            if event.left_running:  # else it may not be told from one that waits for its thread
                event = event._replace(final=True)
        self._give_back(node, event)
        return event

    def _back_off(self, node: Node) -> None:
        self._move(node, BACKOFF)
        if not node.held:
            self._retry(node)
        elif node.member is not None:  # the others of its pipeline wait for it
            self._actions.append(Arm(("held", node.name, node.attempt), self.plan.grace_s))

    def _postponed(self, event: Postponed) -> Event | None:
        node = self._node(event.task, event.attempt)
        if node is None:
            return None
        room = self.room.get(node.pool)
        if room is None:
            room = self.room[node.pool] = Room()
        if not self.folding and (node.stopping is not None or self._is_hopeless(node, room)):
            status = 126 if node.spec.mode == "subprocess" else None
            error = Failure("LaunchError", event.reason)
            return self._ended(
                Ended(*event[:2], "launch_failed", event.at, exit_status=status, error=error)
            )
        del self.running[node.name]
        node.attempt -= 1
        room.refuse(event.at, self._busy(node.pool))
        if node.member is None:
            self.free[node.pool] += 1
            self.semaphores.give_back(node)
            self.make_ready(node)
        else:
            self._move(node, READY)
            self.pipelines.postpone(node)
        return event

    def _is_hopeless(self, node: Node, room: Room) -> bool:
        """Tell whether *node* is waited for no longer; then the next one is tried at once."""
        if node.member is not None:
            return self.pipelines.is_hopeless(node, room, self.patience_s)
        if len(self.running) > 1 or not room.is_over(room.since, self.now, self.patience_s):
            return False
        room.most = 1
        return True

    def _busy(self, pool: Pool) -> int:
        """Return how many attempts of *pool* run."""
        return sum(node.pool == pool for node in self.running.values())

    def is_short(self, pool: Pool) -> bool:
        """Tell whether the system had no means for more than what runs in *pool*."""
        room = self.room.get(pool)
        return room is not None and room.most is not None and self._busy(pool) >= room.most

    def _has_means(self, node: Node) -> None:
        """Take note that the attempt of *node* had what it needed, and gave it back."""
        for room in self.room.values():
            room.regained()
        if node.member is not None:
            self.pipelines.has_means(node.member)

    def _try_again(self, pool: Pool) -> None:
        """Let one more attempt run in *pool* than the system had means for."""
        self.room[pool].widen(self.plan.threads if pool == "threads" else self.plan.processes)
        self.pipelines.try_again(pool)

    def _arm_rooms(self) -> None:
        for pool, room in self.room.items():
            if room.most is not None and not room.armed:
                self._actions.append(Arm(("room", pool), room.arm()))

    def _give_back(self, node: Node, event: Ended) -> None:
        """Let another have the slot: also that of a thread that was given up, for some of them.

        What else that thread had taken it has still.
        """
        lost = event.left_running and self._given_up > self.plan.threads
        if node.member is not None:
            self.pipelines.give_back(node, stuck=event.left_running, lost=lost)
            return
        if node.spec.resources and not event.left_running:
            self.semaphores.give_back(node)
        if not lost:
            self.free[node.pool] += 1

    def _as_it_counts(self, node: Node, event: Ended) -> Ended:
        pipelines = self.pipelines
        if node.stopping is not None:
            event = self._stopped(node, event)
        elif node.member is not None:
            event = pipelines.outcome(node, event)
        if node.member is not None and not pipelines.may_retry(node):
            event = event._replace(final=True)  # who folds it need not know why
        return event

    def _stopped(self, node: Node, event: Ended) -> Ended:
        """Return *event* as the end of an attempt that was told to: no result, whatever it says."""
        assert node.stopping is not None
        trace = event.error.traceback if event.error is not None else None
        member = node.member
        if node.stopping == "timed_out":
            message = f"timed out after {show(node.spec.timeout_s or 0.0)}"
            error = Failure("Timeout", message, trace)
        elif member is not None and node.name in member.spoiled:
            error = member.spoiled[node.name]
        elif node.stopping == "ok" and not event.left_running:  # nobody read what it published
            return event._replace(outcome="ok", output="null", error=None)
        elif node.stopping == "ok":
            message = "nobody reads what it publishes, and it did not stop"
            return event._replace(outcome="failed", error=Failure("Timeout", message, trace))
        elif member is not None and member.gang.failed not in (None, node.name):
            message = f"stopped with its pipeline: task `{member.gang.failed}` failed"
            error = Failure("Stopped", message, trace)
        else:
            error = Failure("Stopped", "stopped with the run", trace)
        return event._replace(outcome=node.stopping, output=None, error=error)

    def _unprepared(self, event: Ended) -> Event | None:
        """Fold the end of a task whose condition, or items, could not be told."""
        node = self.nodes.get(event.task)
        if node is None or node.state in FINAL or node.state is RUNNING:
            return None
        if not (self.folding or node.resolving):
            return None
        self._end(node, FAILED)
        return event

    def _resolved(self, node: Node) -> None:
        self._resolving -= node.resolving
        self._moves += node.resolving
        node.resolving = False

    def _tries_again(self, node: Node, event: Ended) -> bool:
        tries = node.tries if node.member is None else self.pipelines.count_tries(node, event)
        return not event.final and self.stopping is None and tries < node.spec.retry.attempts

    def _retry(self, node: Node) -> None:
        # by chance, and yet the same whenever this run is folded again
        chance = crc32(f"{self.run_id}/{node.name}/{node.attempt}".encode()) / 2**32
        tries = node.tries if node.member is None else node.member.tries.get(node.name, 1)
        delay_s = node.spec.retry.delay_after(max(1, tries), chance)
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
        if node.spec.resources:
            self.semaphores.give_back(node)
        self._moves += 1
        if self._given_up > self.plan.threads:
            self.free[node.pool] += 1
        self._given_up -= 1
        if node.state is BACKOFF:
            self._retry(node)
        return event

    def _skipped(self, event: Skipped) -> Event | None:
        node = self.nodes.get(event.task)
        if node is None or node.state in FINAL or node.state is RUNNING:
            return None
        self._skip(node, failure=event.failure)
        return event

    def _cancelled(self, event: Cancelled) -> Event | None:
        node = self.nodes.get(event.task)
        if node is None or node.state in FINAL or node.state is RUNNING:
            return None
        if node.member is not None and node.group is None and node.member.open:
            self.pipelines.cut_off(node.member)
        else:
            self._end(node, CANCELLED)
        return event

    def _expanded(self, event: Expanded) -> Event | None:
        node = self.nodes.get(event.task)
        if node is None or node.children is not None or node.state is not WAITING:
            return None
        self._resolved(node)
        member = node.member
        if member is not None and self.folding and node.spec.count is not None:
            self.pipelines.resume(member.gang)
        self.expand(node, event.instances, record=False)
        if member is not None:
            self.pipelines.answered(member)
        return event

    def _decided(self, event: Decided) -> Event | None:
        node = self.nodes.get(event.task)
        if node is None or not node.resolving or node.state is not WAITING:
            return None
        self._resolved(node)
        if not event.run:
            self.skip(node, "`when` is false", failure=False)
        elif node.member is not None and node.member.asked:
            self.pipelines.answered(node.member)
        else:
            self.make_ready(node)
        return event

    def _left(self, event: Left) -> None:
        if self._node(event.task, event.attempt) is not None:
            self._actions.append(Arm(("left", event.task, event.attempt), LEAVING_S))

    def _spoiled(self, event: Spoiled) -> None:
        node = self._node(event.task, event.attempt)
        if node is None or node.member is None or node.member.closed:
            return
        if node.stopping is None:
            node.member.spoiled[node.name] = event.error
            self.stop(node, "failed")

    def _fired(self, event: Fired) -> Event | None:
        match event.timer:
            case (kind, task, attempt):
                self._fired_for(kind, task, attempt)
            case ("closed", queue):
                self.pipelines.still_closed(queue)
            case ("room", pool):
                self._try_again(pool)
            case ("stall", moves):
                if moves == self._moves:
                    self._stall_armed = -1  # what this turn lets go may have to wait as well
                    if self._is_stalled():
                        self._moves += 1
                        self._give_up_waiting()
            case ("run",):
                return self._stop_asked(StopAsked("timeout", False, event.at))
            case ("cleanup",):
                return self._stop_asked(StopAsked(self.stopping or "signal", True, event.at))
        return None

    def _fired_for(self, kind: str, task: str, attempt: int) -> None:
        """Fold a timer of one attempt, unless that has ended in the meantime."""
        node = self.nodes.get(task)
        if node is None:
            return  # an instance of an item, which has ended
        backs_off = node.state is BACKOFF and node.attempt == attempt
        if kind == "retry" and backs_off:
            self.make_ready(node)
        elif kind == "held" and backs_off and node.held:
            self._moves += 1
            self.give_up(node, "the thread of its last attempt is stuck")
        elif kind == "slot" and node.member is not None:
            self.pipelines.strand(node.member, attempt)
        elif kind in ("left", "grace", "timeout") and self._node(task, attempt) is not None:
            self._fired_while_running(kind, node)

    def _fired_while_running(self, kind: str, node: Node) -> None:
        if kind == "grace":
            self._actions.append(Stop(node.name, node.attempt, True))
        elif node.stopping is not None:
            return  # it ends soon, and may be tried again
        elif kind == "timeout" and self._has_time_left(node):
            return  # the timer is that of a start that was postponed
        elif kind == "left":
            self.pipelines.has_left(node)
        else:
            self.stop(node, "timed_out")

    def _has_time_left(self, node: Node) -> bool:
        limit_s = node.spec.timeout_s
        return limit_s is not None and self.now - node.started_at < limit_s - _ROUNDING_S

    def _finished(self, event: Finished) -> Event | None:
        self.done = True
        return event

    # Stopping

    def stop(self, node: Node, outcome: Outcome) -> None:
        """Ask the attempt of *node* to end, as *outcome*; after its grace end it."""
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
        if self.folding:
            return event  # what was stopped and cancelled for it is on record itself
        if event.force:
            for node in self.running.values():
                node.stopping = node.stopping or "stopped"
                self._actions.append(Stop(node.name, node.attempt, True))
        else:
            for node in self.running.values():
                if node.stopping is None:
                    self.stop(node, "stopped")
        if first or event.force:
            self.pipelines.stop()
            self._cancel_what_waits()
        return event

    def _cancel_what_waits(self) -> None:
        """Cancel all that has not started, but for cleanup tasks whose needs have begun."""
        for node in list(self.nodes.values()):
            if node.state in FINAL or node.state is RUNNING:
                continue
            if node.left and not self.pipelines.may_open(node):
                continue
            if node.spec.skip is not None:
                self.skip(node, node.spec.skip, failure=False)
            elif self.forced or not self._is_cleanup(node):
                self.cancel(node)

    def _is_cleanup(self, node: Node) -> bool:
        """Tell whether *node* may still make its first attempt after a stop."""
        spec = node.spec
        if node.member is not None and node.member.gang.begun:
            return False  # the others are stopped, and no queue ends any more
        first = spec.run_when == "always" and not node.tries
        return first and any(self.nodes[need].begun for need in spec.needs)

    def cancel(self, node: Node) -> None:
        """End *node*, which does not run, as cancelled."""
        self._actions.append(Cancelled(node.name, self.now))
        if self.pipelines.may_open(node) and node.member is not None:
            self.pipelines.cut_off(node.member)
        else:
            self._end(node, CANCELLED)

    # What follows

    def _move(self, node: Node, state: State) -> None:
        self.counts[node.state] -= 1
        self.counts[state] += 1
        node.state = state

    def make_ready(self, node: Node) -> None:
        """Let *node* start as soon as there is a slot."""
        if self._refused and node.name in self._refused:
            if self.folding:  # that it is given up may be on record yet
                return self._unasked.append(node)
            return self.give_up(node, "it has ended orch twice; start it again with --force")
        self._move(node, READY)
        node.ready_at = self.now
        if node.member is not None:
            return self.pipelines.ready(node)
        entry = (-node.spec.priority, node.spec.order, node.order, node)
        if node.spec.resources:
            return self.semaphores.queue(entry)
        return heappush(self._ready[node.pool], entry)

    def _skip(self, node: Node, *, failure: bool) -> None:
        if failure:
            self.failures += 1
        self._end(node, SKIPPED, failure=failure)

    def _end(self, node: Node, state: State, *, failure: bool = False) -> None:
        """Give *node* its last state and tell those that wait for it."""
        member, group = node.member, node.group
        item = member is not None and group is not None
        tolerant = node.spec.allow_failure or (item and member is not None and tolerated(member))
        if state is FAILED and not tolerant:
            self.failures += 1
            self._fail_fast_due = self.fail_fast and self.stopping is None
        if node.resolving:
            self._resolved(node)
        self._move(node, state)
        if node.member is not None:
            self.pipelines.instance_ended(node, state)
        if group is None:
            self._ended_as_a_whole(node, state, failure=failure)
        else:
            group.left -= 1
            if not group.left:
                self.end_group(group, failure=failure)

    def end_group(self, node: Node, *, failure: bool = False) -> None:
        """End a task whose instances have all ended, *failure* if they were skipped for one."""
        member = node.member
        if member is not None and member.streaming:
            state = worst(member.seen)
            if not member.arrived:
                self._move(node, state)
        else:
            state = worst({child.state for child in node.children or ()})
        node.state = state
        self._ended_as_a_whole(node, state, failure=failure)

    def _ended_as_a_whole(self, node: Node, state: State, *, failure: bool) -> None:
        """Tell those that wait for *node*."""
        self.unfinished -= 1
        tolerant = node.spec.allow_failure or (node.member is not None and harmless(node.member))
        failed = failure or (state in (FAILED, CANCELLED) and not tolerant)
        idle = state is SKIPPED and not failed and node.spec.skip is None
        for dependent in node.dependents:
            dependent.waits -= 1
            dependent.failed_needs += failed
            dependent.idle_needs += idle
            if dependent.waits == 0 and dependent.state is WAITING:
                self._open.append(dependent)
        if node.member is not None:
            self.pipelines.ended(node.member, state, failure=failure)

    def expand(self, node: Node, count: int, *, record: bool) -> None:
        """Give *node* *count* instances; those of a pipeline start when all of it does."""
        if record:  # so that what follows can be folded; the items are in the job file
            self._actions.append(Expanded(node.name, "null", count, self.now))
        node.children = [self.new_instance(node, index) for index in range(count)]
        if count == 0:
            self._end(node, SUCCEEDED)
            return
        node.left = count
        self.counts[WAITING] += count - 1  # the instances are counted, not the whole
        member = node.member
        for child in node.children:
            if member is not None:
                member.instances[child.name] = child
            if member is None or member.gang.begun:
                self.admit(child)

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
        if self.room:
            self._arm_rooms()
        if self.pipelines:
            self.pipelines.forget()
        actions: list[Action] = []
        self._settle_all(actions)
        if self.pipelines:
            self._launch_with_pipelines(actions)
        else:
            self._launch_what_fits(actions)
        if self.unfinished == 0 and not self.running and not self.done and not self._actions:
            actions.append(self._finish())
        elif self._stall_armed != self._moves and self._is_stalled():
            self._stall_armed = self._moves
            actions.append(Arm(("stall", self._moves), self.plan.grace_s))
        return actions

    def _settle_all(self, actions: list[Action]) -> None:
        """Decide on what waited for others that have ended."""
        while self._open:
            self._settle(self._open.pop())
        actions += self._actions
        self._actions = []

    def _launch_with_pipelines(self, actions: list[Action]) -> None:
        """Launch what there are slots for; who ranks behind a pipeline leaves it the slots."""
        pipelines = self.pipelines
        again = True
        while again:
            for due in pipelines.due():
                self._launch(due, actions)
            again = bool(self._open) or self._begin_next(actions)
            self._settle_all(actions)  # of what was let go some had nothing to do
        actions += pipelines.feeds()

    def _begin_next(self, actions: list[Action]) -> bool:
        """Launch by rank until a pipeline was let go; tell whether another may be now."""
        pipelines = self.pipelines
        kept = self._kept = {}  # for pipelines that wait for slots, and from which rank on
        lacking: set[str] = set()  # of what those before them wait for there is nothing left
        for gang in pipelines.waiting():
            if lacking and not lacking.isdisjoint(name for name, _ in gang.request):
                continue
            pools = [pool for pool, count in gang.needs.items() if count]
            for pool in self._ready if gang.request else pools:
                self._launch_all(pool, kept.get(pool, gang.rank), actions)
            if not pipelines.has_resources(gang):
                lacking.update(name for name, _ in gang.request)
                continue
            if kept.keys().isdisjoint(pools) and pipelines.has_slots(gang):
                pipelines.begin(gang)
                return True
            for pool in pools:
                kept.setdefault(pool, gang.rank)
        before = len(actions)
        self._launch_what_fits(actions)
        # who has no slot any more may let a pipeline have its resources
        return bool(lacking) and len(actions) > before

    def _launch_what_fits(self, actions: list[Action]) -> None:
        """Launch what there are slots and resources for, up to ranks that slots are kept for."""
        while True:
            before = len(actions)
            for pool in self._ready:
                self._launch_all(pool, self._kept.get(pool), actions)
            if not self.semaphores or len(actions) == before:
                return  # else who has no slot any more may let others have its resources

    def _launch_all(self, pool: Pool, before: Rank | None, actions: list[Action]) -> None:
        """Launch what there are slots for in *pool*, and ranks before *before*."""
        while (node := self._next(pool, before)) is not None:
            self._launch(node, actions)

    def _next(self, pool: Pool, before: Rank | None) -> Node | None:
        """Return what starts next on a free slot, if it ranks before *before*."""
        if not self._has_slot(pool):
            return None
        heap = self._ready[pool]
        while heap and heap[0][3].state is not READY:
            heappop(heap)
        entry = heap[0] if heap else None
        waiting = self.semaphores.first(pool, self.claims()) if self.semaphores else None
        if waiting is not None and (entry is None or waiting[:3] < entry[:3]):
            entry = waiting
        member = self.pipelines.elastic(pool) if self.pipelines else None
        if member is not None and (entry is None or member.rank < entry[:2]):
            if before is not None and before < member.rank:
                return None
            return member.ready.popleft()
        if entry is None or (before is not None and before < entry[:2]):
            return None
        if entry is not waiting:
            heappop(heap)
        elif entry[3].member is None:
            self.semaphores.remove(entry)
        else:
            entry[3].member.ready.popleft()
        return entry[3]

    def claims(self) -> list[Claim]:
        """Return what resources are waited for, by whoever is next to have them."""
        claims = self.semaphores.claims(self._may_claim)
        if self.pipelines:
            claims += self.pipelines.claims(self._may_claim)
        return claims

    def _has_slot(self, pool: Pool) -> bool:
        """Tell whether one more may start in *pool*."""
        return self.free[pool] > 0 and not (self.room and self.is_short(pool))

    def _may_claim(self, pool: Pool, entry: Entry) -> bool:
        """Tell whether *entry*, which is ready, keeps those behind it from its resources.

        It does where it lacks no more than those, or has lost its slot to who ranks behind it.
        """
        kept = self._kept.get(pool)
        if kept is not None and entry[:2] >= kept:
            return False
        return self._has_slot(pool) or self._has_lost_slot(pool, entry)

    def _has_lost_slot(self, pool: Pool, entry: Entry) -> bool:
        """Tell whether all that runs in *pool* ranks behind *entry*, which could have started."""
        if entry[3].name not in self.semaphores.refused or self.is_short(pool):
            return False
        ranks = [(-n.spec.priority, n.spec.order) for n in self.running.values() if n.pool == pool]
        return bool(ranks) and min(ranks) > entry[:2]

    def _is_stalled(self) -> bool:
        """Tell whether only threads that were given up could bring the run on."""
        if self.running or self.done or self._resolving or not self._given_up or self._open:
            return False
        if any(node.state is BACKOFF and not node.held for node in self._backing_off()):
            return False
        if any(room.most is not None for room in self.room.values()):
            return False
        return self.unfinished > 0 and not self.pipelines.expects()

    def _backing_off(self) -> list[Node]:
        if not self.counts[BACKOFF]:
            return []
        return [node for node in self.nodes.values() if node.state is BACKOFF]

    def _give_up_waiting(self) -> None:
        """End what waits for threads that are stuck: they do not keep the run from ending."""
        for node in self._backing_off():
            if node.state is BACKOFF:  # not ended with its pipeline by now
                self.give_up(node, "the thread of its last attempt is stuck")
        stuck = f"all {self.plan.threads} threads are stuck in other tasks"
        for node in list(self.nodes.values()):
            if node.state is not READY:
                continue
            if self.free[node.pool] <= 0:
                self.give_up(node, stuck)
            elif (name := self.semaphores.missing(node)) is not None:
                self.give_up(node, held_by_a_stuck_thread(name))
        for gang in self.pipelines.waiting():
            if not self.pipelines.fits(gang):
                held = self.semaphores.missing_of(gang.request)
                why = stuck if held is None else held_by_a_stuck_thread(held)
                member = next(member for member in gang.members if not member.finished)
                for node in list(member.instances.values()) or [member.node]:
                    self.give_up(node, why)

    def give_up(self, node: Node, message: str) -> None:
        """End *node*, which waits in vain."""
        failure = Failure("LaunchError", message)
        self._actions.append(
            Ended(node.name, 0, "launch_failed", self.now, error=failure, final=True)
        )
        self._end(node, FAILED)

    def _launch(self, node: Node, actions: list[Action]) -> None:
        self._start(node)
        now = self.now
        actions.append(Started._make((node.name, node.attempt, now, now - node.ready_at)))
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
            return self.skip(node, spec.skip, failure=False)
        if self.stopping is not None and (self.forced or not self._is_cleanup(node)):
            return self.cancel(node)
        if spec.run_when == "succeeded":
            if node.failed_needs:
                reason = "what it needs failed"
                return self.skip(node, reason, failure=True)
            if node.idle_needs:
                return self.skip(node, "what it needs was skipped", failure=False)
        elif spec.run_when == "failed" and not node.failed_needs:
            return self.skip(node, "nothing failed", failure=False)
        if node.member is not None:
            return self.pipelines.settle(node.member)
        return self._settle_alone(node)

    def _settle_alone(self, node: Node) -> None:
        """Let a task go that no queue joins with others, or make its instances."""
        spec = node.spec
        if not spec.many:
            return self.admit(node)
        if spec.items is None:
            return self.ask(node)
        return self.expand(node, len(spec.items), record=True)

    def act(self, action: Action) -> None:
        """Have *action* done, after what was decided before."""
        self._actions.append(action)

    def ask(self, node: Node) -> None:
        """Have the condition, or the items, of *node* looked at."""
        if self.folding:  # how its condition came out may be on record yet
            self._unasked.append(node)
            return
        node.resolving = True
        self._resolving += 1
        self._actions.append(Resolve(node.name))

    def _ask_after_folding(self) -> None:
        unasked, self._unasked = self._unasked, []
        for node in unasked:
            if node.state is WAITING and node.member is None:  # else when its pipeline begins
                if node.name in self._refused and node.spec.when is None:
                    self.make_ready(node)
                else:
                    self.ask(node)

    def skip(self, node: Node, reason: str, *, failure: bool) -> None:
        """End *node*, which does not run, as skipped; *failure* where one is the reason."""
        self._actions.append(Skipped(node.name, reason, failure, self.now))
        self._skip(node, failure=failure)

    def admit(self, node: Node) -> None:
        """Make a task or an instance ready, or ask for its condition first."""
        member = node.member
        asked = member is not None and not member.elastic  # for all of them, before they began
        if node.spec.when is None or asked:
            self.make_ready(node)
        else:
            self.ask(node)

    def _finish(self) -> Finished:
        self.done = True
        if self.stopping == "timeout":
            return Finished("failed", TIMEOUT_EXIT_CODE, self.now)
        if self.stopping == "signal":
            return Finished("cancelled", 128 + (self._stop_signal or 0), self.now)
        if self.failures:
            return Finished("failed", 1, self.now)
        return Finished("succeeded", 0, self.now)
