"""Pipelines: what queues add to the rules of the scheduler.

Tasks that queues join start together, or not at all, because each of them waits for the others.
When one fails, the others are ended; when nobody reads a queue any more, those who fill it are
closed; when nobody fills it any more, it ends. Like the scheduler this knows no items, no clock and
no threads: only who has begun and who has ended.
"""

from __future__ import annotations

from bisect import insort
from collections import deque

from orchestrator.events import Cancelled, Drained, Failure
from orchestrator.nodes import (
    CANCELLED,
    FAILED,
    READY,
    RUNNING,
    SUCCEEDED,
    WAITING,
    Arm,
    CloseQueue,
    EndQueue,
    Feed,
    Forget,
    GiveBack,
    Over,
    SetAside,
    StopFeed,
)
from orchestrator.semaphores import Claim, held_by_a_stuck_thread, request_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Literal, Protocol

    from orchestrator.events import Arrived, Ended, Outcome, State
    from orchestrator.nodes import (
        Action,
        Node,
    )
    from orchestrator.plan.model import Pipeline, Plan, PlanQueue, Pool
    from orchestrator.room import Room
    from orchestrator.semaphores import Entry, Request, Semaphores

    Rank = tuple[int, int]

    class Host(Protocol):
        """What the scheduler does for its pipelines."""

        plan: Plan
        nodes: dict[str, Node]
        free: dict[Pool, int]
        running: dict[str, Node]
        semaphores: Semaphores
        counts: dict[State, int]
        folding: bool
        now: float

        def is_short(self, pool: Pool) -> bool:
            """Tell whether the system had no means for more than what runs in *pool*."""

        def claims(self) -> list[Claim]:
            """Return what resources are waited for, by whoever is next to have them."""

        def ask(self, node: Node) -> None:
            """Have the condition, or the items, of *node* looked at."""

        def admit(self, node: Node) -> None:
            """Make an instance ready, or ask for its condition first."""

        def make_ready(self, node: Node) -> None:
            """Let *node* start as soon as there is a slot."""

        def expand(self, node: Node, count: int, *, record: bool) -> None:
            """Give *node* its instances."""

        def stop(self, node: Node, outcome: Outcome) -> None:
            """Ask the attempt of *node* to end, as *outcome*."""

        def cancel(self, node: Node) -> None:
            """End *node*, which does not run, as cancelled."""

        def skip(self, node: Node, reason: str, *, failure: bool) -> None:
            """End *node*, which does not run, as skipped."""

        def new_instance(self, group: Node, index: int) -> Node:
            """Return a new instance of *group*; it is known from now on."""

        def end_group(self, node: Node) -> None:
            """End a task whose instances have all ended."""

        def give_up(self, node: Node, message: str) -> None:
            """End *node*, which waits in vain."""

        def act(self, action: Action) -> None:
            """Have *action* done, after what was decided before."""


_BEFORE_ALL = (float("-inf"),)
# How long a program that closed its stdin may take to end, before it counts as one that goes on.
LEAVING_S = 0.2


class Queue:
    """A queue: who fills it and who reads it. *ended* and *closed* say what was told of it."""

    __slots__ = ("closed", "consumers", "ended", "publishers", "spec")

    def __init__(self, spec: PlanQueue) -> None:
        self.spec = spec
        self.publishers: list[Member] = []
        self.consumers: list[Member] = []
        self.ended = self.closed = False

    def is_filled(self) -> bool:
        """Tell whether anyone may still publish to it."""
        return any(not member.finished for member in self.publishers)

    def readers(self) -> Iterator[str]:
        """Yield the names of those who may still take items from it."""
        for member in self.consumers:
            if not member.finished:
                yield from (name for name in member.instances if name not in member.gone)
                if member.open or not member.gang.begun:
                    yield member.node.name


class Member:
    """A task as a part of a pipeline.

    *slots* are those that it holds, *running* those in use, *granted* is for how many attempts it
    has the resources; *elastic*: its instances may follow one another, so that one slot is enough.
    *streaming*: they come through a queue, as long as it is *open*; *wanted* were asked for and
    have not come. *instances* are what has not ended of it, *gone* those of them that do not read
    any more, *tries* how often each failed with what it has in hand. *losses* counts how often it
    could not start for want of what a stuck thread took along, *is_stranded* says that it waits no
    longer for that. *is_refused*: the system had no means to start one of them, and all wait before
    it is tried again; *refused* tells since when each was refused, *is_hopeless* that it was too
    long.
    """

    __slots__ = (
        "arrived", "asked", "closed", "elastic", "finished", "gang", "gone", "granted", "instances",
        "is_hopeless", "is_refused", "is_stranded", "losses", "node", "open", "opened", "publishes",
        "reads", "ready", "refused", "running", "seen", "settled", "slots", "spoiled", "streaming",
        "tries", "waits", "wanted",
    )  # fmt: skip

    def __init__(self, node: Node, gang: Gang) -> None:
        spec = node.spec
        self.node, self.gang = node, gang
        self.publishes: Queue | None = None
        self.reads: Queue | None = None
        self.streaming = spec.source is not None
        self.elastic = self.streaming or spec.foreach is not None or spec.items is not None
        self.slots = self.running = self.granted = 0
        self.wanted = self.arrived = self.losses = 0
        self.waits = self.is_stranded = self.is_refused = False
        self.is_hopeless = False
        self.refused: dict[str, float] = {}
        self.settled = self.asked = self.open = self.closed = self.finished = False
        self.opened = False  # items have come for it, or may have
        self.ready: deque[Node] = deque()
        self.instances: dict[str, Node] = {} if spec.many else {node.name: node}
        self.gone: set[str] = set()
        self.seen: set[State] = set()
        self.tries: dict[str, int] = {}
        self.spoiled: dict[str, Failure] = {}

    @property
    def rank(self) -> Rank:
        """Its place among all that wants to start."""
        return -self.node.spec.priority, self.node.spec.order

    @property
    def least(self) -> int:
        """How many slots it needs to begin."""
        return 1 if self.elastic else self.node.spec.replicas or 1

    @property
    def usable(self) -> int:
        """How many attempts it has slots and resources for."""
        return min(self.slots, self.granted) if self.node.spec.resources else self.slots

    def due(self) -> int:
        """Return how many slots it keeps for what is not running."""
        if self.finished:
            return 0
        return 1 if self.elastic else len(self.instances)


class Gang:
    """A pipeline: its members start together. *failed* names the task that ended it.

    *anew*: it had begun in an earlier session, of which a part is kept.
    """

    __slots__ = (
        "anew", "asked", "failed", "left", "members", "queues", "rank", "request", "starting",
        "state", "stopped", "unsettled",
    )  # fmt: skip

    def __init__(self, pipeline: Pipeline) -> None:
        self.members: list[Member] = []
        self.queues: list[Queue] = []
        self.state: Literal["waiting", "ready", "begun", "over"] = "waiting"
        self.left = self.unsettled = len(pipeline.members)
        self.asked = 0
        self.failed: str | None = None
        self.stopped = self.starting = self.anew = False
        self.rank: Rank = (0, 0)
        self.request: Request = ()  # the resources that it needs to begin

    @property
    def needs(self) -> dict[Pool, int]:
        """The slots that it needs to begin; who has nothing to do needs none."""
        needs: dict[Pool, int] = {"threads": 0, "processes": 0}
        for member in self.members:
            if not member.finished:
                needs[member.node.pool] += member.least
        return needs

    def ask(self) -> None:
        """Ask for the resources that those need who have something to do."""
        needs: dict[str, int] = {}
        for member in self.members:
            if not member.finished:
                for name, amount in member.node.spec.resources.items():
                    needs[name] = needs.get(name, 0) + amount * member.least
        self.request = tuple(sorted(needs.items()))

    @property
    def begun(self) -> bool:
        """Whether its members were let go."""
        return self.state == "begun"

    @property
    def ending(self) -> bool:
        """Whether its members are being ended."""
        return self.failed is not None or self.stopped


class Pipelines:
    """The pipelines of one run."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.gangs: list[Gang] = []
        self.queues = {name: Queue(spec) for name, spec in host.plan.queues.items()}
        self._waiting: list[Gang] = []  # for their slots, by rank
        self._active: dict[str, Member] = {}  # those of whom something is ready
        self._short: dict[str, Member] = {}  # those who lost a slot to a thread that is stuck
        self._asks = False  # any of them takes resources
        self._spent: list[Node] = []  # instances of items that ended in this turn
        self._told: list[Node] = []  # and in turns before
        for pipeline in host.plan.pipelines:
            self._add(pipeline)

    def __bool__(self) -> bool:
        return bool(self.gangs)

    def _add(self, pipeline: Pipeline) -> None:
        gang = Gang(pipeline)
        self.gangs.append(gang)
        for name in pipeline.members:
            node = self.host.nodes[name]
            member = node.member = Member(node, gang)
            gang.members.append(member)
            spec = node.spec
            if spec.publish is not None:
                member.publishes = self.queues[spec.publish]
                member.publishes.publishers.append(member)
            if (reads := spec.consume or spec.source) is not None:
                member.reads = self.queues[reads]
                member.reads.consumers.append(member)
        named = {m.publishes.spec.name: m.publishes for m in gang.members if m.publishes}
        gang.queues = list(named.values())
        gang.rank = min(member.rank for member in gang.members)
        gang.ask()
        self._asks |= bool(gang.request)

    # Starting

    def settle(self, member: Member) -> None:
        """Take note that all that *member* needs has ended well."""
        gang = member.gang
        if member.settled:
            return
        member.settled = True
        gang.unsettled -= 1
        if gang.unsettled or gang.state != "waiting":
            return
        for each in gang.members:
            spec = each.node.spec
            templated = spec.foreach is not None and spec.items is None
            asks = spec.when is not None and not each.elastic and not gang.anew  # it was true
            if each.node.children is None and not each.finished and (templated or asks):
                each.asked = True
                gang.asked += 1
                self.host.ask(each.node)
        if not gang.asked:
            self._enqueue(gang)

    def answered(self, member: Member) -> None:
        """Take note that the condition of *member* is true, or that its items are known."""
        gang = member.gang
        if not member.asked:
            return
        member.asked = False
        gang.asked -= 1
        if not gang.asked and gang.state == "waiting" and not gang.unsettled:
            self._enqueue(gang)

    def _enqueue(self, gang: Gang) -> None:
        gang.state = "ready"
        insort(self._waiting, gang, key=lambda gang: gang.rank)

    def waiting(self) -> list[Gang]:
        """Return the pipelines that wait for their slots, the next one first."""
        self._waiting = [gang for gang in self._waiting if gang.state == "ready"]
        return self._waiting

    def fits(self, gang: Gang) -> bool:
        """Tell whether *gang* can start now."""
        return self.has_slots(gang) and self.has_resources(gang)

    def has_slots(self, gang: Gang) -> bool:
        """Tell whether there are slots for *gang*."""
        free, is_short = self.host.free, self.host.is_short
        return all(
            count <= max(0, free[pool]) and not (count and is_short(pool))
            for pool, count in gang.needs.items()
        )

    def has_resources(self, gang: Gang) -> bool:
        """Tell whether there is what *gang* asks for, after those before it."""
        if not gang.request:
            return True
        wanted = Claim((*gang.rank, 0), gang.request)
        return self.host.semaphores.has_room(wanted, self.host.claims())

    def begin(self, gang: Gang) -> None:
        """Give *gang* its slots and resources, and let its members go."""
        self.reserve(gang)
        gang.starting = True  # who has nothing to do ends at once, before others are there
        gang.left += 1  # it is not over before all its queues were looked at
        for member in gang.members:
            if not member.finished:
                self._begin(member)
        gang.starting = False
        for queue in gang.queues:
            self._look_at(queue)
        gang.left -= 1
        self._see_whether_over(gang)

    def reserve(self, gang: Gang) -> None:
        """Give *gang* its slots and resources."""
        gang.state = "begun"
        for member in gang.members:
            if not member.finished:
                member.slots = member.granted = member.least
                self.host.free[member.node.pool] -= member.slots
                self.host.semaphores.take(member.node, member.granted)
            if member.streaming and not member.opened:
                member.open = member.opened = True
                member.node.left = 1  # the queue, which may bring more

    def begin_anew(self) -> None:
        """Let pipelines of which a part has ended in an earlier session wait for their slots."""
        for gang in self.gangs:
            # who had no items at all has ended, and tells nothing of a beginning
            had_begun = gang.begun or any(member.finished for member in gang.members)
            if not (gang.left and had_begun):
                continue
            gang.state, gang.anew = "waiting", True
            gang.unsettled = 0
            for member in gang.members:
                if not member.finished:
                    gang.unsettled += 1
                    self.host.free[member.node.pool] += member.slots
                    self.host.semaphores.give_back(member.node, member.granted)
                    member.slots = member.granted = 0

    def resume(self, gang: Gang) -> None:
        """Give *gang* its slots, of which a record says that it has begun."""
        if not gang.begun and gang.state != "over":
            self.reserve(gang)

    def _begin(self, member: Member) -> None:
        host, node = self.host, member.node
        spec = node.spec
        if member.streaming:
            for child in list(member.instances.values()):  # of items that came in a session before
                if child.state is WAITING:
                    host.admit(child)
            return
        if node.children is not None:
            for child in node.children:
                host.admit(child)
        elif member.elastic:
            host.expand(node, len(spec.items or ()), record=True)
        elif spec.replicas is not None:
            host.expand(node, spec.replicas, record=True)
        else:
            host.make_ready(node)

    # Slots, and the resources that go with them

    def ready(self, node: Node) -> None:
        """Take note that *node*, of a member, may start."""
        member = node.member
        assert member is not None
        member.instances[node.name] = node
        member.ready.append(node)
        self._active[member.node.name] = member

    def due(self) -> Iterator[Node]:
        """Yield what may start on a slot that is kept for it."""
        for member in list(self._short.values()):
            self._regain(member)
        for member in list(self._active.values()):
            if member.is_refused:
                continue
            while member.running < member.usable and (node := _next(member)) is not None:
                yield node
            if _head(member) is None:
                self._active.pop(member.node.name, None)

    def elastic(self, pool: Pool) -> Member | None:
        """Return the member that comes first among those to whom another slot would help.

        Those that ask for resources wait for them with all others (``claims``).
        """
        found = [
            member
            for member in self._active.values()
            if member.node.pool == pool and not member.node.spec.resources and _can_grow(member)
        ]
        return min(found, key=lambda member: member.rank, default=None)

    def claims(self, may_claim: Callable[[Pool, Entry], bool]) -> list[Claim]:
        """Return which resources are waited for: to begin, for one more, instead of what was lost.

        Of pipelines that ask for the same only by the first one; one more only by those who
        *may_claim* it.
        """
        if not self._asks:
            return []
        firsts: dict[Request, Gang] = {}
        for gang in self.waiting():
            if gang.request:
                firsts.setdefault(gang.request, gang)
        found = [Claim((*gang.rank, 0), request) for request, gang in firsts.items()]
        found += [
            Claim(_BEFORE_ALL, request_of(member.node))
            for member in self._short.values()
            if member.node.spec.resources and member.granted < member.due()
        ]
        for member in self._active.values():
            if member.node.spec.resources and _can_grow(member):
                entry: Entry = (*member.rank, 0, member.ready[0])
                if may_claim(member.node.pool, entry):
                    request = request_of(member.node)
                    found.append(Claim(entry[:3], request, member.node.pool, entry))
        return found

    def take(self, node: Node) -> None:
        """Use a slot of its member's for *node*, or one more."""
        member = node.member
        assert member is not None
        self.resume(member.gang)
        member.running += 1
        member.instances[node.name] = node
        member.gone.discard(node.name)  # what an earlier attempt of it did
        member.spoiled.pop(node.name, None)
        if member.running > member.slots:
            member.slots += 1
            self.host.free[node.pool] -= 1
        if member.running > member.granted:
            member.granted += 1
            self.host.semaphores.take(node)

    def give_back(self, node: Node, *, stuck: bool, lost: bool) -> None:
        """Give back the slot of *node*, unless its member keeps it for what follows.

        When its thread is *stuck* that has its resources still; the slot is *lost* when no other
        thread takes its place.
        """
        member = node.member
        assert member is not None
        member.running -= 1
        member.slots -= lost
        member.granted -= stuck
        self._trim(member)
        if member.usable < member.due():
            self._short[member.node.name] = member

    def postpone(self, node: Node) -> None:
        """Let *node*, which the system had no means to start, wait; its member keeps its slot."""
        member = node.member
        assert member is not None
        member.ready.appendleft(node)
        self._active[member.node.name] = member
        member.is_refused = True
        member.refused.setdefault(node.name, self.host.now)
        self.give_back(node, stuck=False, lost=False)
        queue = member.publishes
        if member.closed and queue is not None and not self.host.folding:
            self._skip_unread(node, queue)

    def is_hopeless(self, node: Node, room: Room, patience_s: float) -> bool:
        """Tell whether *node* is waited for no longer, and so are others of its member."""
        member = node.member
        assert member is not None
        if member.elastic and member.running > 1:
            return False  # it needs no more slots than it has
        since = member.refused.get(node.name)
        member.is_hopeless |= room.is_over(since, self.host.now, patience_s)
        return member.is_hopeless

    def has_means(self, member: Member) -> None:
        """Take note that an attempt of *member* had what it needed, and gave it back."""
        member.is_hopeless = False
        member.refused.clear()

    def try_again(self, pool: Pool) -> None:
        """Let what was postponed in *pool* start."""
        for member in self._active.values():
            if member.node.pool == pool:
                member.is_refused = False

    def _regain(self, member: Member) -> None:
        """Give *member* the slots and resources that it lost, before anyone else gets them."""
        free, pool, semaphores = self.host.free, member.node.pool, self.host.semaphores
        while member.slots < member.due() and free[pool] > 0:
            member.slots += 1
            free[pool] -= 1
            member.is_stranded = member.waits = False
        while member.granted < member.due() and semaphores.missing(member.node) is None:
            member.granted += 1
            semaphores.take(member.node)
            member.is_stranded = member.waits = False
        if member.usable >= member.due():
            del self._short[member.node.name]
        elif _head(member) is not None and member.running == member.usable:
            if member.slots >= member.due() and self._will_come_back(member):
                member.is_stranded = member.waits = False
            else:
                self._wait_for_slot(member)

    def _will_come_back(self, member: Member) -> bool:
        """Tell whether there is enough for *member* once those have ended that do not wait for it.

        Who is in its pipeline may do so, or in one that has lost something itself.
        """
        stranded = {short.gang for short in self._short.values()}
        wanted = member.node.spec.resources
        left = {name: self.host.semaphores.free[name] for name in wanted}
        for node in self.host.running.values():
            if node.member is None or node.member.gang not in stranded:
                for name in wanted:
                    left[name] += node.spec.resources.get(name, 0)
        return all(amount <= left[name] for name, amount in wanted.items())

    def _wait_for_slot(self, member: Member) -> None:
        """End what *member* has to start, if stuck threads have kept it from that for a grace."""
        plan = self.host.plan
        if member.is_stranded:
            why = f"all {plan.threads} threads are stuck in other tasks"
            if member.slots > member.usable:
                why = held_by_a_stuck_thread(self.host.semaphores.missing(member.node))
            while (node := _next(member)) is not None:
                self.host.give_up(node, why)
        elif not member.waits:
            member.waits = True
            member.losses += 1
            self.host.act(Arm(("slot", member.node.name, member.losses), plan.grace_s))

    def strand(self, member: Member, losses: int) -> None:
        """Let *member* wait no longer for what it lost."""
        if member.waits and member.losses == losses:
            member.is_stranded = True

    def _trim(self, member: Member) -> None:
        keep = max(member.running, member.due())
        if member.slots > keep:
            self.host.free[member.node.pool] += member.slots - keep
            member.slots = keep
        if member.granted > keep:
            self.host.semaphores.give_back(member.node, member.granted - keep)
            member.granted = keep

    # Items, one by one

    def feeds(self) -> Iterator[Feed]:
        """Yield what may be taken from queues for which there is room."""
        for gang in self.gangs:
            if not gang.begun:
                continue
            for member in gang.members:
                if not member.open:
                    continue
                # what is looked at or backs off counts too: it has to be kept
                slots = max(member.slots, member.due())
                room = self._spare(member) + slots - len(member.instances) - member.wanted
                if room > 0:
                    member.wanted += room
                    yield Feed(member.node.name, room)

    def _spare(self, member: Member) -> int:
        """Return for how many more attempts of *member* there are slots and resources."""
        spare = max(0, self.host.free[member.node.pool])
        for name, amount in member.node.spec.resources.items():
            owed = sum(
                max(0, short.due() - short.granted) * short.node.spec.resources.get(name, 0)
                for short in self._short.values()
            )
            spare = min(spare, max(0, self.host.semaphores.free[name] - owed) // amount)
        return spare

    def arrived(self, event: Arrived) -> Arrived | None:
        """Make an instance of the item that came."""
        group = self._open(event.task)
        if group is None or group.member is None:
            return None
        member = group.member
        member.wanted = max(0, member.wanted - 1)
        member.arrived += 1
        child = self.host.new_instance(group, event.number)
        group.left += 1
        self.host.counts[WAITING] += 1
        member.instances[child.name] = child
        self.host.admit(child)
        return event

    def drained(self, event: Drained) -> Drained | None:
        """Take note that no more items will come."""
        group = self._open(event.task)
        if group is None or group.member is None:
            return None
        self._shut(group.member)
        return event

    def _open(self, task: str) -> Node | None:
        """Return *task* if items may come for it."""
        node = self.host.nodes.get(task)
        if node is None or node.member is None or not node.member.streaming:
            return None
        if self.host.folding:
            self.resume(node.member.gang)  # that it has begun may be on no other record
        return node if node.member.open else None

    def expects(self) -> bool:
        """Tell whether items, or their end, are still to come."""
        return any(member.open for gang in self.gangs if gang.begun for member in gang.members)

    def _shut(self, member: Member) -> None:
        """Wait for no more items; without an instance that is under way it has ended."""
        member.open = False
        node = member.node
        node.left -= 1
        if member.arrived:
            self.host.counts[node.state] -= 1  # instances are counted, not the whole
        if not node.left:
            self.host.end_group(node)

    def forget(self) -> None:
        """Let go of instances of items that ended before this turn: their number has no end."""
        spent, self._told, self._spent = self._told, self._spent, []
        for node in spent:
            if node.held:
                self._told.append(node)
            else:
                del self.host.nodes[node.name]
                self.host.act(Forget(node.name))

    # Ends

    def outcome(self, node: Node, event: Ended) -> Ended:
        """Return *event* as it counts: a publisher that nobody reads any more did not fail."""
        member = node.member
        assert member is not None
        queue = member.publishes
        program = node.spec.mode == "subprocess" and event.outcome == "failed"
        if program and queue is not None and (member.closed or event.cut):
            return event._replace(outcome="ok", output="null", error=None)
        queue = member.reads
        if event.outcome == "ok" and queue is not None and not (member.streaming or member.closed):
            early = event.unread or (not queue.ended and queue.is_filled())
            others = [name for name in queue.readers() if name != node.name]
            if early and not others and queue.spec.on_consumer_exit == "fail":
                message = f"it ended before queue `{queue.spec.name}` did (on_consumer_exit: fail)"
                error = Failure("EarlyExit", message)
                return event._replace(outcome="failed", output=None, error=error)
        return event

    def count_tries(self, node: Node, event: Ended) -> int:
        """Return how often *node* has failed, where *event* is a failure too."""
        member = node.member
        assert member is not None
        if event.item_failures is not None:
            tries = event.item_failures
        else:
            tries = member.tries.get(node.name, 0) + 1
        member.tries[node.name] = tries
        return tries

    def may_retry(self, node: Node) -> bool:
        """Tell whether its pipeline goes on, so that another try makes sense."""
        member = node.member
        assert member is not None
        return not (member.gang.ending or member.closed)

    def instance_ended(self, node: Node, state: State) -> None:
        """Take note that *node*, a member or an instance of one, has ended."""
        member = node.member
        assert member is not None
        member.instances.pop(node.name, None)
        member.gone.discard(node.name)
        member.refused.pop(node.name, None)
        member.tries.pop(node.name, None)
        member.spoiled.pop(node.name, None)
        member.seen.add(state)
        self._trim(member)
        if member.streaming and node is not member.node:
            self._spent.append(node)
        queue = member.reads
        if state is FAILED:
            if member.streaming and queue is not None and queue.spec.dead_letter is not None:
                self.host.act(SetAside(queue.spec.name, node.name))
            elif member.gang.begun and not member.elastic and not node.spec.allow_failure:
                self._fail(member.gang, node)
        if member.gone and queue is not None:
            self._look_at(queue)  # the others of it read no more, and go on

    def ended(self, member: Member, state: State, *, failure: bool) -> None:
        """Take note that *member* has ended as a whole, and see to the others."""
        member.finished = True
        self._trim(member)
        gang = member.gang
        if gang.begun:
            if state is FAILED and not tolerated(member):
                self._fail(gang, member.node)
            # upstream first: who is closed there may have failed, and then no queue ends
            for queue in (member.reads, member.publishes):
                if queue is not None:
                    self._look_at(queue)
        gang.left -= 1
        gang.ask()
        if gang.begun:
            self._see_whether_over(gang)
        elif gang.state != "over" and state is not SUCCEEDED and not self.host.folding:
            gang.state = "over"
            self._drop(gang, state, failure=failure or state is FAILED)

    def _see_whether_over(self, gang: Gang) -> None:
        if gang.begun and not gang.left:
            gang.state = "over"
            self.host.act(Over(tuple(queue.spec.name for queue in gang.queues)))

    def _drop(self, gang: Gang, state: State, *, failure: bool) -> None:
        """End all of a pipeline that has not begun, because one of it cannot run."""
        what = "failed" if state is FAILED else "was skipped"
        for member in gang.members:
            if member.finished:
                continue
            node = member.node
            nodes = [child for child in member.instances.values() if child is not node]
            if member.open and state is not CANCELLED:
                member.open = False  # what came of it in a session before does not end it
                nodes.append(node)
            elif member.open or not nodes:
                nodes.insert(0, node)
            for each in nodes:
                if state is CANCELLED:
                    self.host.cancel(each)
                else:
                    reason = node.spec.skip or f"what queues join it with {what}"
                    self.host.skip(each, reason, failure=failure)

    def _look_at(self, queue: Queue, left: Node | None = None) -> None:
        """End or close *queue* where nobody fills or reads it any more.

        *left* goes on, and has just stopped to read.
        """
        gang = queue.publishers[0].gang
        if gang.ending:
            return  # all are being ended: nobody may take that for the end of the items
        if gang.starting or self.host.folding:
            return
        if not queue.is_filled():
            if not queue.ended:
                queue.ended = True
                self.host.act(EndQueue(queue.spec.name))
        elif not queue.closed and next(queue.readers(), None) is None:
            self._close(queue, left)

    def _close(self, queue: Queue, left: Node | None) -> None:
        queue.closed = True
        spec = queue.spec
        if spec.on_consumer_exit == "fail" and left is not None and not _is_excused(left):
            self._fail(queue.publishers[0].gang, left)
            return
        self.host.act(CloseQueue(spec.name, spec.on_consumer_exit == "drain"))
        if spec.on_consumer_exit == "drain":
            return
        self.host.act(Arm(("closed", spec.name), self.host.plan.grace_s))
        for member in queue.publishers:
            if member.finished:
                continue
            member.closed = True
            for node in list(member.instances.values()):
                if node.state is not RUNNING:
                    self._skip_unread(node, queue)
            if member.open:
                self.host.act(StopFeed(member.node.name))
                self.host.act(Drained(member.node.name, member.arrived, self.host.now))
                self._shut(member)

    def _skip_unread(self, node: Node, queue: Queue) -> None:
        """End *node*, which does not run, because nobody reads what it would publish."""
        if node.member is not None and node.member.streaming and not node.tries:
            self.host.act(GiveBack(node.name))  # others may read what it goes through
        self.host.skip(node, f"nobody reads `{queue.spec.name}` any more", failure=False)

    def still_closed(self, name: str) -> None:
        """End those who publish to a closed queue and have taken no notice within the grace."""
        for member in self.queues[name].publishers:
            for node in list(member.instances.values()):
                if node.state is RUNNING and node.stopping is None:
                    self.host.stop(node, "ok")

    def has_left(self, node: Node) -> None:
        """Take note that *node* goes on without reading.

        Where it will be tried again if it fails, nothing follows: its next try is to read all.
        """
        member = node.member
        if member is not None and member.reads is not None:
            tries = member.tries.get(node.name, 0) + 1
            if member.reads.spec.delivery == "at_least_once" and tries < node.spec.retry.attempts:
                return
            member.gone.add(node.name)
            self._look_at(member.reads, node)

    def _fail(self, gang: Gang, cause: Node) -> None:
        """End *gang* because of *cause*, in the order of flow."""
        if gang.ending:
            return
        gang.failed = cause.name
        if self.host.folding:
            return  # what follows is on record itself
        for member in gang.members:
            for node in list(member.instances.values()):
                if node is cause:
                    continue
                if node.state is not RUNNING:
                    self.host.cancel(node)
                elif node.stopping is None:
                    self.host.stop(node, "stopped")
            self._cut_off(member)

    def stop(self) -> None:
        """Bring no more items into a run that is being stopped."""
        for gang in self.gangs:
            if gang.begun:
                gang.stopped = True
                for member in gang.members:
                    self._cut_off(member)

    def _cut_off(self, member: Member) -> None:
        if member.open:
            self.host.act(Cancelled(member.node.name, self.host.now))
            self.cut_off(member)

    def may_open(self, node: Node) -> bool:
        """Tell whether *node* is to go on with more items than came in an earlier session."""
        member = node.member
        is_whole = member is not None and node.group is None
        return is_whole and member is not None and member.open and not member.gang.begun

    def cut_off(self, member: Member) -> None:
        """Let no more items come for *member*, whose queue has not ended."""
        self.host.act(StopFeed(member.node.name))
        member.seen.add(CANCELLED)
        self._shut(member)


def _is_excused(node: Node) -> bool:
    """Tell whether nobody is to blame if *node* reads no more: it may fail, or was closed."""
    return node.spec.allow_failure or (node.member is not None and node.member.closed)


def tolerated(member: Member) -> bool:
    """Tell whether failures of *member* count as success: allowed, or all set aside."""
    if member.node.spec.allow_failure:
        return True
    queue = member.reads
    return member.streaming and queue is not None and queue.spec.dead_letter is not None


def harmless(member: Member) -> bool:
    """Tell whether those that need *member* may go on though not all of it succeeded."""
    if member.node.spec.allow_failure:
        return True
    return tolerated(member) and member.arrived > 0 and CANCELLED not in member.seen


def _can_grow(member: Member) -> bool:
    """Tell whether one more slot would help *member*."""
    return member.gang.begun and _head(member) is not None and not member.is_refused


def _head(member: Member) -> Node | None:
    """Return what of *member* may start next; what was ended while it waited is passed over."""
    while member.ready and member.ready[0].state is not READY:
        member.ready.popleft()
    return member.ready[0] if member.ready else None


def _next(member: Member) -> Node | None:
    node = _head(member)
    if node is not None:
        member.ready.popleft()
    return node
