"""Runs that go on under simulation: seeds that hold, and bugs of recovery that are found."""

import pytest

from orchestrator.events import (
    Arrived,
    Decided,
    Ended,
    Expanded,
    Retrying,
    Skipped,
    Started,
    StopAsked,
)
from orchestrator.nodes import FINAL
from orchestrator.pipelines import Pipelines
from orchestrator.recovery import History
from orchestrator.scheduler import Scheduler
from tests.simulation import first_violation
from tests.simulation_resume import world_of

SEEDS, CHUNK = 3000, 250
MUTANT_SEEDS = 4000


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_nothing_is_violated(first):
    """In no seed is what is kept run again, or lost, or a number given twice, or a hang."""
    violation = first_violation(range(first, first + CHUNK), world=world_of)
    assert violation is None, violation


# Bugs that the simulation must find


def with_history(history):
    """Return a scheduler of a run that such a *history* lets go on."""
    return type(history.__name__, (Scheduler,), {"history": history})


# What is kept


@with_history
class ForgetsTheNumbers(History):
    """Does not say how many attempts were made."""

    def recovery(self, *args, **keys):
        found = super().recovery(*args, **keys)
        found.attempts = {}
        return found


@with_history
class KeepsWhatNeedsOthers(History):
    """Keeps what needs a task that is run again."""

    def _whole(self, *args):
        needs = {name: task.needs for name, task in self._plan.tasks.items()}
        for task in self._plan.tasks.values():
            task.needs = ()
        found = super()._whole(*args)
        for name, task in self._plan.tasks.items():
            task.needs = needs[name]
        return found


@with_history
class KeepsInstancesThatNeedOthers(History):
    """Keeps instances of a task that needs one that is run again."""

    def _keeps_instances(self, task, changed, _whole):
        return super()._keeps_instances(task, changed, self._plan.tasks)


@with_history
class KeepsWhatChanged(History):
    """Keeps a task that is not what it was."""

    def recovery(self, _changed=(), *args):
        return super().recovery((), *args)


@with_history
class KeepsInstancesOfWhatChanged(History):
    """Keeps instances of a task that is not what it was."""

    def _keeps_instances(self, task, _changed, whole):
        return super()._keeps_instances(task, (), whole)


@with_history
class KeepsNothing(History):
    """Runs all again."""

    def _is_settled(self, _name, _task):
        return False


@with_history
class KeepsNoInstances(History):
    """Runs all of a ``foreach`` again when one of it failed."""

    def _keeps_instances(self, _task, _changed, _whole):
        return False


@with_history
class KeepsHalfAPipeline(History):
    """Keeps what has ended well of a pipeline that is run again."""

    def __init__(self, plan, events):
        pipelines, plan.pipelines = plan.pipelines, []
        super().__init__(plan, events)
        self._pipelines = pipelines

    def recovery(self, *args, **keys):
        found = super().recovery(*args, **keys)
        self._plan.pipelines = self._pipelines
        return found


@with_history
class KeepsWithoutTheNeedsOfOthers(History):
    """Keeps a pipeline though what only some of it need is run again."""

    def _whole(self, *args):
        tasks = self._plan.tasks
        held = {}
        for line in self._plan.pipelines:
            for name in line.members[1:]:
                held[name], tasks[name].needs = tasks[name].needs, ()
        found = super()._whole(*args)
        for name, needs in held.items():
            tasks[name].needs = needs
        return found


@with_history
class KeepsWhatFailed(History):
    """Takes any end for a good one."""

    def _tolerates(self, _task):
        return True


@with_history
class AllowsNoFailure(History):
    """Runs again what may fail, and did."""

    def _tolerates(self, _task):
        return False


@with_history
class KeepsWhatWasSkippedForAFailure(History):
    """Keeps what was skipped because something failed."""

    def _is_settled(self, name, task):
        line = self._lines.get(name)
        return (line is not None and line.skipped is not None) or super()._is_settled(name, task)


@with_history
class KeepsWhatIsTriedAgain(History):
    """Takes a failure that is allowed, and waits for its next try, for the last one."""

    def __init__(self, plan, events):
        super().__init__(plan, [event for event in events if event.__class__ is not Retrying])


@with_history
class KeepsWhoseThreadIsWaitedFor(History):
    """Takes an attempt whose thread is waited for before the next one for the last."""

    def _is_settled(self, name, task):
        line = self._lines.get(name)
        if line is not None and line.ended is not None:
            place, ended = line.ended
            line.ended = place, ended._replace(final=True)
        return super()._is_settled(name, task)


@with_history
class CountsInstancesOfAllSessions(History):
    """Waits for instances that there were in an earlier session."""

    def _has_settled(self, name, task, *args):
        found = self._instances().get(name, [])
        return super()._has_settled(name, task, *args) and all(
            self._is_settled(each, task) for each in found
        )


@with_history
class KeepsNothingWithoutItems(History):
    """Runs again what may fail, and did because nobody could tell its items."""

    def _has_settled(self, name, task):
        line = self._lines.get(name)
        unknown = task.many and line is not None and line.ended is not None
        return not unknown and super()._has_settled(name, task)


# What is recorded, and folded


@with_history
class LosesWithoutARecord(History):
    """Does not record how the attempts ended that were under way."""

    def _lost(self, _crash):
        return iter(())


@with_history
class LostIsOver(History):
    """Takes an attempt that was cut off for one that failed, and may do so."""

    def recovery(self, *args, **keys):
        for ended in list(self._lost(None)):
            line = self._lines[ended.task]
            line.ended, line.is_open = (0, ended), False
        return super().recovery(*args, **keys)


@with_history
class FoldsAllAttempts(History):
    """Folds all attempts of what is kept instead of the last one."""

    def __init__(self, plan, events):
        self._all = list(events)
        super().__init__(plan, self._all)

    def recovery(self, *args, **keys):
        found = super().recovery(*args, **keys)
        kept = {event.task for event in found.events}
        found.events = [event for event in self._all if getattr(event, "task", None) in kept]
        return found


@with_history
class StopsAgain(History):
    """Lets a stop of the session before still hold."""

    def __init__(self, plan, events):
        events = list(events)
        super().__init__(plan, events)
        self._stops = [event for event in events if event.__class__ is StopAsked]

    def recovery(self, *args, **keys):
        found = super().recovery(*args, **keys)
        found.events += self._stops
        return found


@with_history
class NamesWhatIsKept(History):
    """Says of all that has ended that it is run again."""

    def recovery(self, *args, **keys):
        found = super().recovery(*args, **keys)
        found.again = list(self._lines)
        return found


@with_history
class NobodyCrashed(History):
    """Does not ask who may have ended orch."""

    def _lost(self, _crash):
        return super()._lost(None)


# What the scheduler makes of it


class CountsEarlierTries(Scheduler):
    """Counts the tries of the session before."""

    def _number(self, node):
        super()._number(node)
        node.base = 0


class NewInstancesBeginAtOne(Scheduler):
    """Gives no numbers to instances that are made in this session."""

    def new_instance(self, group, index):
        node = super().new_instance(group, index)
        node.attempt = node.base = 0
        return node


class KeptWakesNobody(Scheduler):
    """Does not let go what waits for a task that is kept."""

    def recall(self, *args):
        super().recall(*args)
        self._open = [node for node in self._open if not node.spec.needs]


class KeptKeepsItsSlot(Scheduler):
    """Does not give back the slots of what is kept."""

    def _give_back(self, node, event):
        if not self.folding or not self._attempts:
            super()._give_back(node, event)


class KeptRunsYet(Scheduler):
    """Starts what is kept once more if it was started in the session before."""

    def recall(self, events, attempts, refused=()):
        events = [event for event in events if event.__class__ is not Ended]
        super().recall(events, attempts, refused)


class FoldsNoStarts(Scheduler):
    """Folds no starts, so that no end fits."""

    def recall(self, events, attempts, refused=()):
        events = [event for event in events if event.__class__ is not Started]
        super().recall(events, attempts, refused)


class FailsForTheSessionBefore(Scheduler):
    """Lets failures that are allowed fail the session after."""

    def recall(self, events, attempts, refused=()):
        super().recall(events, attempts, refused)
        self.failures += any(node.state == "failed" for node in self.nodes.values())


class NoTimeLimitTheSecondTime(Scheduler):
    """Forgets the time limit of the run when that goes on."""

    def recall(self, *args):
        super().recall(*args)
        self._actions.clear()


class StartsWhatCrashed(Scheduler):
    """Starts what has ended orch twice."""

    def recall(self, events, attempts, refused=()):
        super().recall(events, attempts)
        del refused


class RefusesUnseen(Scheduler):
    """Gives up what is refused while it folds, so that it is on no record."""

    def make_ready(self, node):
        folding, self.folding = self.folding, False
        super().make_ready(node)
        self.folding = folding


class KeptHasNotBegun(Scheduler):
    """Does not know of what is kept that it had been started."""

    def recall(self, *args):
        super().recall(*args)
        for node in self.nodes.values():
            node.begun = False


class AsksNothingAnew(Scheduler):
    """Does not look again at conditions of instances that are run again."""

    def recall(self, *args):
        super().recall(*args)
        self._unasked.clear()


class ExpandsAnew(Scheduler):
    """Looks at the items of a ``foreach`` again of which some instances are kept."""

    def recall(self, events, attempts, refused=()):
        events = list(events)
        super().recall(events, attempts, refused)
        for event in events:
            node = self.nodes[event.task]
            if event.__class__ is Expanded and node.state not in FINAL:
                self.act(event._replace(at=self.now))


class DecidesAsBefore(Scheduler):
    """Takes the conditions of instances for true if some of them are kept."""

    def _ask_after_folding(self):
        for node in self._unasked:
            node.resolving = True
            self._resolving += 1
            self.apply(Decided(node.name, run=True, at=self.now))
        self._unasked = []


# Pipelines of which a part is kept


@with_history
class NumbersItemsFromZero(History):
    """Lets the first item of a session have the number of the first of all."""

    def recovery(self, *args, **keys):
        found = super().recovery(*args, **keys)
        found.arrived = {}
        return found


@with_history
class ForgetsWhatCame(History):
    """Does not know of items that came in an earlier session and were not dealt with."""

    def recovery(self, *args, **keys):
        found = super().recovery(*args, **keys)
        ended = {event.task for event in found.events if event.__class__ in (Ended, Skipped)}
        found.events = [
            event for event in found.events
            if event.__class__ is not Arrived or f"{event.task}.{event.number}" in ended
        ]  # fmt: skip
        return found


@with_history
class KeepsAllOfWhatGoesOn(History):
    """Keeps all of a pipeline of which only a part has ended."""

    def _whole(self, *args):
        kept, undelivered = super()._whole(*args)
        for gang in self._plan.pipelines:
            if any(self._plan.tasks[name].publish in undelivered for name in gang.members):
                kept.update(gang.members)
        return kept, undelivered


@with_history
class GoesOnWithoutASource(History):
    """Lets a pipeline go on although one that publishes and consumes nothing had not ended."""

    def _rest_of(self, gang, settled, recorded):
        sources = [name for name in gang.members if not self._reads(name)]
        return super()._rest_of(gang, {*settled, *sources}, recorded)

    def _reads(self, name):
        task = self._plan.tasks[name]
        return task.consume or task.source


@with_history
class TrustsAllQueues(History):
    """Takes it for recorded of all queues what they have delivered."""

    def _rest_of(self, gang, settled, _recorded):
        return super()._rest_of(gang, settled, self._plan.queues)


@with_history
class RunsAllOfAPipelineAgain(History):
    """Does not look at what is recorded of queues."""

    def _rest_of(self, *_args):
        return set()


@with_history
class GoesOnWithWhatHadNotBegun(History):
    """Lets a pipeline go on that had not begun."""

    def _begun(self):
        return set(self._plan.tasks)


class Anew(Scheduler):
    """A scheduler with other pipelines."""

    pipelines_class = Pipelines

    def __init__(self, plan, run_id="", *, fail_fast=False):
        super().__init__(plan, run_id, fail_fast=fail_fast)
        self.pipelines.__class__ = self.pipelines_class


def with_pipelines(pipelines):
    """Return a scheduler with these *pipelines*."""
    return type(pipelines.__name__, (Anew,), {"pipelines_class": pipelines})


@with_pipelines
class BeginsNothingAnew(Pipelines):
    """Takes a pipeline for begun of which a part is kept."""

    def begin_anew(self):
        pass


@with_pipelines
class ReservesForTheKept(Pipelines):
    """Reserves slots for members too that have ended in an earlier session."""

    def reserve(self, gang):
        super().reserve(gang)
        for member in gang.members:
            if member.finished and gang.anew:
                member.slots = member.least
                self.host.free[member.node.pool] -= member.slots


@with_pipelines
class KeepsTheResourcesOfASession(Pipelines):
    """Leaves to a pipeline what it had of resources in an earlier session, and gives it more."""

    def begin_anew(self):
        for gang in self.gangs:
            for member in gang.members:
                self.host.semaphores.take(member.node, member.granted)
        super().begin_anew()


@with_pipelines
class ReopensTheDrained(Pipelines):
    """Waits for items for a task to which all had come."""

    def reserve(self, gang):
        for member in gang.members:
            if not member.finished and gang.anew:
                member.opened = False
        super().reserve(gang)


@with_pipelines
class StartsBeforeItBegins(Pipelines):
    """Starts instances of items that had come on any slot, before the others have theirs."""

    def elastic(self, pool):
        found = [
            member for member in self._active.values()
            if member.node.pool == pool and member.ready and not member.is_refused
        ]  # fmt: skip
        return min(found, key=lambda member: member.rank, default=None)


@with_pipelines
class EndsNoQueueOfTheKept(Pipelines):
    """Does not end queues whose publishers have all ended in an earlier session."""

    def _look_at(self, queue, left=None):
        if not (queue.publishers[0].gang.anew and not queue.is_filled()):
            super()._look_at(queue, left)


@with_pipelines
class BeginsOnlyWhatHadRun(Pipelines):
    """Waits for a member that had ended because it had no items."""

    def begin_anew(self):
        gangs, self.gangs = self.gangs, [gang for gang in self.gangs if gang.begun]
        super().begin_anew()
        self.gangs = gangs


@with_pipelines
class AsksAllAnew(Pipelines):
    """Looks at conditions again that were true when the pipeline had begun."""

    def settle(self, member):
        member.gang.anew = False
        super().settle(member)


@with_pipelines
class LeavesOpenWhatIsStopped(Pipelines):
    """Waits for items after a stop that came before the pipeline had begun anew."""

    def may_open(self, _node):
        return False


class AsksBeforeItBegins(Scheduler):
    """Looks at the conditions of instances of items before their pipeline has begun."""

    def _ask_after_folding(self):
        for node in self._unasked:
            if node.member is not None and node.state == "waiting" and not node.member.gang.begun:
                self.ask(node)
        super()._ask_after_folding()


MUTANTS = [
    found for found in list(globals().values())
    if isinstance(found, type) and issubclass(found, Scheduler) and found not in (Scheduler, Anew)
]  # fmt: skip


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_mutant_is_found(mutant):
    """A history, or a scheduler, with this bug violates something within 4,000 seeds."""
    assert first_violation(range(MUTANT_SEEDS), mutant, world_of) is not None
