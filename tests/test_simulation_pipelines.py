"""Pipelines under simulation: seeds that hold, and bugs that are found."""

import pytest

from orchestrator.nodes import EndQueue, Over
from orchestrator.pipelines import Pipelines, Queue
from orchestrator.plan.model import RetryPolicy
from orchestrator.scheduler import Scheduler
from tests.simulation import first_violation
from tests.simulation_pipelines import PipelineWorld

SEEDS, CHUNK = 2000, 250
MUTANT_SEEDS = 6000


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_nothing_is_violated(first):
    """In no seed does a pipeline begin, end or fail otherwise than the rules say, or hang."""
    violation = first_violation(range(first, first + CHUNK), world=PipelineWorld)
    assert violation is None, violation


# Bugs that the simulation must find


class Mutant(Scheduler):
    """A scheduler with other pipelines, or other queues."""

    pipelines_class = Pipelines
    queue_class = Queue

    def __init__(self, plan, run_id="", *, fail_fast=False):
        super().__init__(plan, run_id, fail_fast=fail_fast)
        self.pipelines.__class__ = self.pipelines_class
        for queue in self.pipelines.queues.values():
            queue.__class__ = self.queue_class


def with_pipelines(pipelines):
    """Return a scheduler with these *pipelines*."""
    return type(pipelines.__name__, (Mutant,), {"pipelines_class": pipelines})


def with_queues(queue):
    """Return a scheduler with such queues."""
    return type(queue.__name__, (Mutant,), {"queue_class": queue})


# Beginning


@with_pipelines
class BeginsWithoutSlots(Pipelines):
    """Lets a pipeline go when there is a slot for one of it."""

    def has_slots(self, gang):
        free = self.host.free
        return all(free[pool] > 0 for pool, count in gang.needs.items() if count)


@with_pipelines
class StartsOneByOne(Pipelines):
    """Starts one of the members in a turn."""

    def due(self):
        yield from list(super().due())[:1]


@with_pipelines
class BeginsWithTheFirst(Pipelines):
    """Lets a pipeline go when what one of its members needs has ended."""

    def settle(self, member):
        member.gang.unsettled = min(member.gang.unsettled, 1)
        super().settle(member)


class AsksNoConditions(Scheduler):
    """Lets a pipeline go whatever the conditions of its members say."""

    def ask(self, node):
        if node.member is not None and node.group is None and node.spec.foreach is None:
            self.pipelines.answered(node.member)
        else:
            super().ask(node)


@with_pipelines
class OneThatCannotRunStaysAlone(Pipelines):
    """Skips a member and lets the others wait for it."""

    def _drop(self, gang, state, *, failure):
        pass


@with_pipelines
class DropsWithoutAFailure(Pipelines):
    """Skips the others of a member that failed as if nothing was wrong."""

    def _drop(self, gang, state, *, failure):
        super()._drop(gang, state, failure=failure and state == "failed")


class Overtakes(Scheduler):
    """Starts whatever there is a slot for, though a pipeline of higher rank waits."""

    def _launch_all(self, pool, before, actions):
        super()._launch_all(pool, None, actions)
        del before


class OvertakesWithinAPool(Scheduler):
    """Lets a pipeline that waits hold up nothing, once the others of its rank were started."""

    def _begin_next(self, actions):
        for gang in self.pipelines.waiting():
            if self.pipelines.fits(gang):
                self.pipelines.begin(gang)
                return True
        for pool in self._ready:
            self._launch_all(pool, None, actions)
        return False


class WaitsBehindAnyPipeline(Scheduler):
    """Lets a pipeline wait for another that needs other slots."""

    def _begin_next(self, actions):
        waiting = self.pipelines.waiting()
        self.pipelines._waiting = waiting[:1]
        begun = super()._begin_next(actions)
        self.pipelines._waiting = waiting
        return begun


@with_pipelines
class ClosesWhileItBegins(Pipelines):
    """Looks at the queues as soon as one member ends that has nothing to do."""

    def _begin(self, member):
        member.gang.starting = False
        super()._begin(member)


class SettlesInTheNextTurn(Scheduler):
    """Leaves what needs a pipeline that had nothing to do for the next turn."""

    later = ()

    def decide(self, now):
        self._open += self.later
        self.later = ()
        return super().decide(now)

    def _begin_next(self, actions):
        begun = super()._begin_next(actions)
        self.later, self._open = (*self.later, *self._open), []
        return begun


# Slots


@with_pipelines
class KeepsItsSlots(Pipelines):
    """Never gives back a slot that was kept for a member."""

    def _trim(self, member):
        pass


@with_pipelines
class KeepsNoSlotInBetween(Pipelines):
    """Gives back the slot of what backs off."""

    def give_back(self, node, *, stuck, lost):
        super().give_back(node, stuck=stuck, lost=lost)
        member = node.member
        if node.state == "backoff" and member.slots > member.running:
            member.slots -= 1
            self.host.free[node.pool] += 1


@with_pipelines
class KeepsTheSlotsOfReplicas(Pipelines):
    """Gives back the slots of a task when all of it has ended."""

    def _trim(self, member):
        if member.elastic or not member.instances:
            super()._trim(member)


@with_pipelines
class OneAtATime(Pipelines):
    """Uses no free slots for further instances."""

    def elastic(self, _pool):
        return None


@with_pipelines
class ReplacesEveryThread(Pipelines):
    """Starts the next instance however many threads are stuck."""

    def give_back(self, node, *, stuck, lost):
        super().give_back(node, stuck=stuck, lost=False)
        self.host.free[node.pool] -= lost


@with_pipelines
class WaitsForALostSlot(Pipelines):
    """Waits for ever for a slot that a stuck thread took along."""

    def strand(self, member, losses):
        pass


class WaitsForAHeldThread(Scheduler):
    """Waits for ever for a thread before its next try, and so do all of its pipeline."""

    def _fired(self, event):
        return None if event.timer[0] == "held" else super()._fired(event)


class StallsAmongItems(Scheduler):
    """Gives up while items are to come."""

    def _is_stalled(self):
        self.pipelines.expects = lambda: False
        return super()._is_stalled()


# Failing


@with_pipelines
class OthersGoOn(Pipelines):
    """Leaves the others running when a member failed."""

    def _fail(self, gang, cause):
        gang.failed = gang.failed or cause.name


@with_pipelines
class StopsUpstream(Pipelines):
    """Stops the others against the flow."""

    def _fail(self, gang, cause):
        gang.members.reverse()
        super()._fail(gang, cause)
        gang.members.reverse()


@with_pipelines
class NamesAnother(Pipelines):
    """Names the last member as the cause, whichever failed."""

    def _fail(self, gang, cause):
        super()._fail(gang, cause)
        gang.failed = gang.members[-1].node.name


@with_pipelines
class TriesAgainInVain(Pipelines):
    """Tries a member again though its pipeline is being ended."""

    def may_retry(self, _node):
        return True


@with_pipelines
class InstanceEndsThePipeline(Pipelines):
    """Ends a pipeline at the first failure of a ``foreach``."""

    def instance_ended(self, node, state):
        super().instance_ended(node, state)
        if state == "failed" and node.member.gang.begun and not node.spec.allow_failure:
            self._fail(node.member.gang, node)


@with_pipelines
class AllowedFailureEndsThePipeline(Pipelines):
    """Ends a pipeline for a failure that is allowed."""

    def instance_ended(self, node, state):
        super().instance_ended(node, state)
        if state == "failed" and node.member.gang.begun and not node.member.elastic:
            self._fail(node.member.gang, node)


@with_pipelines
class NothingIsSetAside(Pipelines):
    """Lets an item go that failed for good."""

    def instance_ended(self, node, state):
        letters, queue = None, node.member.reads
        if queue is not None:
            letters, queue.spec.dead_letter = queue.spec.dead_letter, None
        super().instance_ended(node, state)
        if queue is not None:
            queue.spec.dead_letter = letters


class CutOffIsHarmless(Scheduler):
    """Takes a task whose items are set aside for done when it was cut off."""

    def _ended_as_a_whole(self, node, state, *, failure):
        if node.member is not None:
            node.member.seen.discard("cancelled")
        super()._ended_as_a_whole(node, state, failure=failure)


class CountsOnlyItsTries(Scheduler):
    """Does not ask how often the item in hand has failed."""

    def _ended(self, event):
        counted = super()._ended(event._replace(item_failures=None))
        return counted and counted._replace(item_failures=event.item_failures)


class SpoiledGoesOn(Scheduler):
    """Lets a task go on that published what is no item."""

    def _spoiled(self, event):
        pass


@with_pipelines
class SpoiltForEver(Pipelines):
    """Gives the next attempt the error of the one before, however it ends."""

    def take(self, node):
        error = node.member.spoiled.get(node.name)
        super().take(node)
        if error is not None:
            node.member.spoiled[node.name] = error


class CleansUpInAStoppedPipeline(Scheduler):
    """Starts instances of a stopped pipeline, as if they cleaned up."""

    def _is_cleanup(self, node):
        spec = node.spec
        first = spec.run_when == "always" and node.attempt == 0
        return first and any(self.nodes[need].begun for need in spec.needs)


@with_pipelines
class ItemsComeAfterAStop(Pipelines):
    """Takes further items into a run that is being stopped."""

    def stop(self):
        for gang in self.gangs:
            gang.stopped = gang.stopped or gang.begun


# Queues


@with_queues
class EndsWithTheFirst(Queue):
    """Ends a queue when one of its publishers has ended."""

    __slots__ = ()

    def is_filled(self):
        return all(not member.finished for member in self.publishers)


@with_pipelines
class NeverEnds(Pipelines):
    """Ends no queue."""

    def _look_at(self, queue, left=None):
        queue.ended = True
        super()._look_at(queue, left)


@with_pipelines
class EndsAfterAFailure(Pipelines):
    """Ends a queue though the pipeline is being ended."""

    def _look_at(self, queue, left=None):
        super()._look_at(queue, left)
        gang = queue.publishers[0].gang
        if gang.ending and not queue.ended and not queue.is_filled():
            queue.ended = True
            self.host.act(EndQueue(queue.spec.name))


@with_pipelines
class EndsTwice(Pipelines):
    """Ends a queue again when a consumer has ended."""

    def _look_at(self, queue, left=None):
        super()._look_at(queue, left)
        queue.ended = False


@with_queues
class ReadByWhoWaits(Queue):
    """Takes who closed stdin for a reader."""

    __slots__ = ()

    def readers(self):
        for member in self.consumers:
            member.gone.clear()
        return super().readers()


@with_queues
class OneReaderIsAll(Queue):
    """Takes a queue for unread when one of its consumers has ended."""

    __slots__ = ()

    def readers(self):
        return iter(()) if any(m.finished for m in self.consumers) else super().readers()


@with_pipelines
class UpstreamStaysOpen(Pipelines):
    """Does not tell publishers that nobody reads any more."""

    def _close(self, queue, _left):
        queue.closed = True


@with_pipelines
class DrainIsStop(Pipelines):
    """Closes who could go on, with ``on_consumer_exit: drain``."""

    def _close(self, queue, left):
        was, queue.spec.on_consumer_exit = queue.spec.on_consumer_exit, "stop"
        if was != "drain":
            queue.spec.on_consumer_exit = was
        super()._close(queue, left)
        queue.spec.on_consumer_exit = was


@with_pipelines
class ClosedWithoutAGrace(Pipelines):
    """Stops who publishes at once when nobody reads."""

    def _close(self, queue, left):
        super()._close(queue, left)
        if queue.spec.on_consumer_exit == "stop":
            self.still_closed(queue.spec.name)


@with_pipelines
class ClosedMayStay(Pipelines):
    """Leaves who takes no notice of a closed queue running."""

    def still_closed(self, name):
        pass


@with_pipelines
class ClosedStartsYet(Pipelines):
    """Starts publishers of a closed queue that had not started."""

    def _close(self, queue, left):
        kept = [(member, member.instances) for member in queue.publishers]
        for member, instances in kept:
            member.instances = {k: n for k, n in instances.items() if n.state == "running"}
        super()._close(queue, left)
        for member, instances in kept:
            member.instances = instances


@with_pipelines
class ClosedHasFailed(Pipelines):
    """Takes SIGPIPE for a failure."""

    def outcome(self, node, event):
        queue, node.member.publishes = node.member.publishes, None
        counted = super().outcome(node, event)
        node.member.publishes = queue
        return counted


@with_pipelines
class EarlyExitIsFine(Pipelines):
    """Takes an early end for a good one, with ``on_consumer_exit: fail``."""

    def outcome(self, node, event):
        counted = super().outcome(node, event)
        return event if counted.error and counted.error.type == "EarlyExit" else counted


@with_pipelines
class AnyEarlyExitFails(Pipelines):
    """Fails a consumer that ends early though others read on."""

    def outcome(self, node, event):
        queue = node.member.reads
        if queue is None:
            return super().outcome(node, event)
        consumers, queue.consumers = queue.consumers, []
        counted = super().outcome(node, event)
        queue.consumers = consumers
        return counted


class LeavesAtOnce(Scheduler):
    """Takes a program that closes its stdin for one that goes on, without waiting for its end."""

    def _left(self, event):
        node = self._node(event.task, event.attempt)
        if node is not None:
            self.pipelines.has_left(node)


@with_pipelines
class ReadsForEver(Pipelines):
    """Takes no notice of a program that closes its stdin."""

    def has_left(self, node):
        pass


@with_pipelines
class LeavesThoughItMayComeBack(Pipelines):
    """Closes the queue of a program that closed its stdin and will be tried again if it fails."""

    def has_left(self, node):
        policy, node.spec.retry = node.spec.retry, RetryPolicy()
        super().has_left(node)
        node.spec.retry = policy


@with_pipelines
class OverTooEarly(Pipelines):
    """Lets the queues go when all members but one have ended."""

    def ended(self, member, state, *, failure):
        super().ended(member, state, failure=failure)
        if member.gang.begun and member.gang.left == 1:
            self.host.act(Over(tuple(queue.spec.name for queue in member.gang.queues)))


@with_pipelines
class OverTwice(Pipelines):
    """Lets the queues go again for each member that ended by the way."""

    def ended(self, member, state, *, failure):
        begun = member.gang.begun
        super().ended(member, state, failure=failure)
        if begun and member.gang.state == "over" and member is not member.gang.members[-1]:
            self.host.act(Over(tuple(queue.spec.name for queue in member.gang.queues)))


# Items, one by one


@with_pipelines
class FeedsWithoutRoom(Pipelines):
    """Takes one item more than there are slots."""

    def feeds(self):
        for feed in super().feeds():
            self.host.nodes[feed.task].member.wanted += 1
            yield feed._replace(most=feed.most + 1)


@with_pipelines
class FeedsWhatBacksOff(Pipelines):
    """Takes further items for as long as others only back off, or are looked at."""

    def feeds(self):
        kept = {}
        for gang in self.gangs:
            for member in gang.members:
                kept[member] = member.instances
                busy = ("running", "ready")
                member.instances = {k: n for k, n in kept[member].items() if n.state in busy}
        found = list(super().feeds())
        for member, instances in kept.items():
            member.instances = instances
        return found


@with_pipelines
class FeedsOneByOne(Pipelines):
    """Takes one item a turn."""

    def feeds(self):
        for feed in super().feeds():
            self.host.nodes[feed.task].member.wanted -= feed.most - 1
            yield feed._replace(most=1)


@with_pipelines
class EndsWithItems(Pipelines):
    """Ends a task when its queue has ended, whatever is under way."""

    def _shut(self, member):
        member.node.left = 1
        super()._shut(member)


@with_pipelines
class NothingIsForgotten(Pipelines):
    """Keeps all that is known of items that are done."""

    def forget(self):
        pass


@with_pipelines
class ForgetsWhoIsHeld(Pipelines):
    """Forgets an item whose thread still runs."""

    def forget(self):
        held = [node for node in (*self._told, *self._spent) if node.held]
        for node in held:
            node.held = False
        super().forget()
        for node in held:
            node.held = True


# Folding


class FoldDropsAnew(Scheduler):
    """Decides anew, when it folds, what cannot run without a member that ended."""

    def _skipped(self, event):
        self.folding, was = False, self.folding
        counted = super()._skipped(event)
        self.folding = was
        return counted


class FoldTriesAgain(Scheduler):
    """Leaves to who folds it whether an attempt was the last."""

    def _ended(self, event):
        counted = super()._ended(event)
        return counted and counted._replace(final=event.final)


@with_pipelines
class FoldForgetsItems(Pipelines):
    """Does not know, when it folds, that a pipeline has begun of which nothing was started."""

    def resume(self, gang):
        pass


# Resources


@with_pipelines
class BeginsWithoutResources(Pipelines):
    """Lets a pipeline go as soon as there are slots for it."""

    def has_resources(self, _gang):
        return True


@with_pipelines
class IdlesForResources(Pipelines):
    """Keeps slots for a pipeline that waits for resources."""

    def has_slots(self, gang):
        return super().has_slots(gang) and super().has_resources(gang)

    def has_resources(self, _gang):
        return True


@with_pipelines
class PipelinesStarve(Pipelines):
    """Lets others take what a pipeline waits for."""

    def claims(self, may_claim):
        return [claim for claim in super().claims(may_claim) if claim.entry or len(claim.rank) == 1]

    def has_resources(self, gang):
        free = self.host.semaphores.free
        return all(amount <= free[name] for name, amount in gang.request)


@with_pipelines
class OneAtATimeWithResources(Pipelines):
    """Uses no free resources for further instances."""

    def claims(self, may_claim):
        return [claim for claim in super().claims(may_claim) if claim.entry is None]


@with_pipelines
class InstancesNeedNoResources(Pipelines):
    """Starts further instances wherever there is a slot."""

    def claims(self, may_claim):
        found = super().claims(may_claim)
        return [claim._replace(request=()) if claim.entry else claim for claim in found]


@with_pipelines
class FeedsBeyondResources(Pipelines):
    """Takes items out of queues that there are slots for, and no resources."""

    def _spare(self, member):
        return max(0, self.host.free[member.node.pool])


@with_pipelines
class KeepsItsResources(Pipelines):
    """Never gives back resources that were kept for a member."""

    def _trim(self, member):
        granted = member.granted
        super()._trim(member)
        self.host.semaphores.take(member.node, granted - member.granted)
        member.granted = granted


@with_pipelines
class StartsOnWhatAStuckThreadHas(Pipelines):
    """Starts the next instance though a stuck thread has its resources still."""

    def give_back(self, node, *, stuck, lost):
        del stuck
        super().give_back(node, stuck=False, lost=lost)


@with_pipelines
class NeverRegainsResources(Pipelines):
    """Does not take back what a stuck thread has returned."""

    def _regain(self, member):
        if member.granted >= member.due():
            super()._regain(member)


@with_pipelines
class WaitsForWhatNeverComesBack(Pipelines):
    """Waits for ever for what only stuck threads have, or who waits for it."""

    def _will_come_back(self, _member):
        return True


# Want of means


@with_pipelines
class MembersStartAnewAtOnce(Pipelines):
    """Starts anew what the system has just refused, on the slot that was kept for it."""

    def postpone(self, node):
        super().postpone(node)
        node.member.is_refused = False


@with_pipelines
class MembersNeverTriedAgain(Pipelines):
    """Forgets those that were postponed, though the moment is over."""

    def try_again(self, pool):
        pass


@with_pipelines
class MembersWaitForEver(Pipelines):
    """Waits for ever for means to start one that all the others wait for."""

    def is_hopeless(self, _node, _room, _patience_s):
        return False


@with_pipelines
class InstancesDoNotWait(Pipelines):
    """Fails an instance for want of means though another of its task runs."""

    def is_hopeless(self, node, room, patience_s):
        elastic, node.member.elastic = node.member.elastic, False
        hopeless = super().is_hopeless(node, room, patience_s)
        node.member.elastic = elastic
        return hopeless


@with_pipelines
class PostponedLosesItsSlot(Pipelines):
    """Counts a slot twice for what was postponed and is tried again."""

    def give_back(self, node, *, stuck, lost):
        if node.state != "ready":
            super().give_back(node, stuck=stuck, lost=lost)


@with_pipelines
class BeginsThoughShort(Pipelines):
    """Lets a pipeline go while the system has no means for what is there."""

    def has_slots(self, gang):
        is_short, self.host.is_short = self.host.is_short, lambda _pool: False
        fits = super().has_slots(gang)
        self.host.is_short = is_short
        return fits


@with_pipelines
class PostponedThoughClosed(Pipelines):
    """Starts again what nobody reads any more."""

    def _skip_unread(self, node, queue):
        if not node.member.is_refused:
            super()._skip_unread(node, queue)


MUTANTS = [
    found for found in list(globals().values())
    if isinstance(found, type) and issubclass(found, Scheduler) and found not in (Scheduler, Mutant)
]  # fmt: skip


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_mutant_is_found(mutant):
    """A scheduler with this bug violates something within 6,000 seeds."""
    assert first_violation(range(MUTANT_SEEDS), mutant, PipelineWorld) is not None
