"""The scheduler under simulation: seeds that hold, bugs that are found, its rules one by one."""

import sys

import pytest

from orchestrator.events import (
    KINDS,
    Cancelled,
    Decided,
    Ended,
    Expanded,
    Fired,
    Postponed,
    Retrying,
    Returned,
    Skipped,
    Started,
    StopAsked,
)
from orchestrator.nodes import Arm, Resolve, Stop
from orchestrator.plan.model import Plan, PlanTask, RetryPolicy
from orchestrator.scheduler import Scheduler
from orchestrator.semaphores import Semaphores
from tests.simulation import describe, first_violation, simulate

SEEDS, CHUNK = 3000, 250
MUTANT_SEEDS = 1500


@pytest.mark.promise(1)
@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_nothing_is_violated(first):
    """In no seed is a slot exceeded, a task started wrongly, lost or recorded twice, or a hang."""
    violation = first_violation(range(first, first + CHUNK))
    assert violation is None, violation


# Bugs that the simulation must find


class SlotNeverGivenBack(Scheduler):
    """Keeps the slot of an attempt that failed."""

    def _ended(self, event):
        counted = super()._ended(event)
        if counted is not None and counted.attempt and counted.outcome == "failed":
            self.free[self.nodes[event.task].pool] -= 1
        return counted


class _Lax(Semaphores):
    """Gives a resource to whoever it is enough for."""

    def _in_order(self, claims):
        for claim in sorted(claims, key=lambda claim: claim.rank):
            yield claim, all(amount <= self.free[name] for name, amount in claim.request)


class LargeRequestsStarve(Scheduler):
    """Lets small requests pass those that wait for more."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.semaphores = _Lax(self.plan.resources)


class LargeRequestsStarveWithoutSlots(Scheduler):
    """Lets small requests pass those that have lost their slots to others."""

    def _has_lost_slot(self, _pool, _entry):
        return False


class ResourceKeptByFailure(Scheduler):
    """Keeps the resources of an attempt that failed."""

    def _ended(self, event):
        counted = super()._ended(event)
        if counted is not None and counted.attempt and counted.outcome == "failed":
            self.semaphores.take(self.nodes[event.task])
        return counted


class ResourceLetGoByStuckThread(Scheduler):
    """Gives away what a thread that was given up still has."""

    def _ended(self, event):
        counted = super()._ended(event)
        if counted is not None and counted.left_running:
            self.semaphores.give_back(self.nodes[event.task])
        return counted


class SlotGivenBackTwice(Scheduler):
    """Gives back a slot for an end that was told before."""

    def _ended(self, event):
        counted = super()._ended(event)
        node = self.nodes.get(event.task)
        if counted is None and node is not None and 0 < event.attempt <= node.attempt:
            self.free[node.pool] += 1
        return counted


class LateEndCounts(Scheduler):
    """Takes the end of an earlier attempt for that of the one under way."""

    def _node(self, task, attempt):
        node = self.running.get(task)
        return node if node is not None and attempt <= node.attempt else None


class OneNeedMissing(Scheduler):
    """Starts a task when all its needs but one have ended."""

    def _build(self):
        super()._build()
        for node in self.nodes.values():
            node.waits -= node.waits > 1


class NoLimitOfTries(Scheduler):
    """Tries again for ever."""

    def _tries_again(self, _node, event):
        return not event.final and self.stopping is None


class OneTryTooFew(Scheduler):
    """Takes ``attempts`` for the number of retries, less one."""

    def _tries_again(self, node, event):
        return super()._tries_again(node, event) and node.attempt < node.spec.retry.attempts - 1


class FinalIsTriedAgain(Scheduler):
    """Tries again what cannot come out otherwise."""

    def _tries_again(self, node, event):
        return super()._tries_again(node, event._replace(final=False))


class TriesAgainAfterStop(Scheduler):
    """Tries a failed attempt again though the run was stopped."""

    def _tries_again(self, node, event):
        return not event.final and node.attempt < node.spec.retry.attempts


class DelayForgotten(Scheduler):
    """Tries again at once, whatever the delay."""

    def _retry(self, node):
        super()._retry(node)
        self._actions[-1] = self._actions[-1]._replace(delay_s=0.0)


class SkipStaysAlone(Scheduler):
    """Does not tell those that need a skipped task that it was."""

    def _end(self, node, state, *, failure=False):
        before = [(need.failed_needs, need.idle_needs) for need in node.dependents]
        super()._end(node, state, failure=failure)
        if state == "skipped":
            for dependent, counts in zip(node.dependents, before, strict=True):
                dependent.failed_needs, dependent.idle_needs = counts


class EverythingIsCleanup(Scheduler):
    """Starts what is ready after a stop."""

    def _is_cleanup(self, _node):
        return True


class NothingIsCleanup(Scheduler):
    """Does not clean up after a stop."""

    def _is_cleanup(self, _node):
        return False


class ForcedStopSpares(Scheduler):
    """Goes on with what cleans up after a forced stop."""

    def _cancel_what_waits(self):
        forced, self.forced = self.forced, False
        super()._cancel_what_waits()
        self.forced = forced


class PriorityIgnored(Scheduler):
    """Takes ready tasks by their place in the file alone."""

    def make_ready(self, node):
        super().make_ready(node)
        heap = self._ready[node.pool]
        heap[:] = sorted((0, *entry[1:]) for entry in heap)


class TimeoutOfAnother(Scheduler):
    """Lets the timer of an attempt stop a later one."""

    def _fired(self, event):
        kind, *rest = event.timer
        if kind == "timeout" and rest[0] in self.running:
            event = event._replace(timer=(kind, rest[0], self.running[rest[0]].attempt))
        return super()._fired(event)

    def _has_time_left(self, _node):
        return False


class GroupEndsEarly(Scheduler):
    """Ends a task when all its instances but one have ended."""

    def expand(self, node, count, *, record):
        super().expand(node, count, record=record)
        node.left -= node.left > 1


class AllowedFailureCounts(Scheduler):
    """Fails the run for a task that is allowed to fail."""

    def _end(self, node, state, *, failure=False):
        self.failures += state == "failed" and node.spec.allow_failure
        super()._end(node, state, failure=failure)


class AllowedFailureSkips(Scheduler):
    """Skips what needs a task that is allowed to fail."""

    def _end(self, node, state, *, failure=False):
        super()._end(node, state, failure=failure or state == "failed")


class HeldIsTriedAtOnce(Scheduler):
    """Tries again while the thread that was given up still runs."""

    def _ended(self, event):
        counted = super()._ended(event._replace(left_running=False))
        return counted and counted._replace(left_running=event.left_running)


class EveryThreadIsReplaced(Scheduler):
    """Gives the slot of every thread that was given up to another, without a limit."""

    def _ended(self, event):
        limit, self.plan.threads = self.plan.threads, 1000
        try:
            return super()._ended(event)
        finally:
            self.plan.threads = limit


class ToldToStopAndOk(Scheduler):
    """Believes a result that came after the time limit."""

    def _stopped(self, node, event):
        return event if event.outcome == "ok" else super()._stopped(node, event)


class FailFastForgotten(Scheduler):
    """Goes on after a failure, even with ``--fail-fast``: the run ends as if nothing was asked."""

    def _stop_asked(self, event):
        return None if event.reason == "fail_fast" else super()._stop_asked(event)


class TimeoutIsASignal(Scheduler):
    """Gives the run's time limit the exit code of a failure."""

    def _finish(self):
        finished = super()._finish()
        return finished._replace(exit_code=1) if self.stopping == "timeout" else finished


class NoGrace(Scheduler):
    """Kills at once what it asks to stop."""

    def stop(self, node, outcome):
        super().stop(node, outcome)
        self._actions.append(Stop(node.name, node.attempt, True))


class EmptyForeachHangs(Scheduler):
    """Waits for the instances of a task that has none."""

    def expand(self, node, count, *, record):
        if count:
            super().expand(node, count, record=record)


class RecordWithoutSlots(Scheduler):
    """Forgets, when it folds a record, that what was started takes a slot."""

    def _started(self, event):
        counted = super()._started(event)
        if counted is not None:
            self.free[self.nodes[event.task].pool] += 1
        return counted


class FoldRewritesOutcome(Scheduler):
    """Takes, when it folds, what failed while the run was being stopped for something stopped."""

    def _ended(self, event):
        if self.folding and self.stopping is not None and event.outcome == "timed_out":
            event = event._replace(outcome="stopped")
        return super()._ended(event)


class FoldForgetsAStop(Scheduler):
    """Takes, when it folds, an attempt that was stopped for one that failed."""

    def _ended(self, event):
        if self.folding and event.outcome == "stopped":
            event = event._replace(outcome="failed")
        return super()._ended(event)


class FoldDecidesAnew(Scheduler):
    """Folds as it lives: leaves what it decided by the way among the actions."""

    def fold(self, event):
        self.folding = True
        self.apply(event)
        self.folding = False


class FoldCancelsAnew(Scheduler):
    """Cancels by itself what waits, when it folds that a stop was asked for."""

    def _stop_asked(self, event):
        counted = super()._stop_asked(event)
        if self.folding and counted is not None:
            self._cancel_what_waits()
        return counted


class FoldForgetsWhatBegan(Scheduler):
    """Does not know, after it folded, what has begun."""

    def _start(self, node):
        super()._start(node)
        node.begun = not self.folding


class FoldForgetsTheSignal(Scheduler):
    """Does not know, after it folded, which signal has ended the run."""

    def fold(self, event):
        super().fold(event)
        self._stop_signal = None


class StallNeverArmed(Scheduler):
    """Waits for ever for threads that are stuck."""

    def _is_stalled(self):
        return False


class StallSeenTooSoon(Scheduler):
    """Gives up what waits for a thread although others run."""

    def _is_stalled(self):
        running, self.running = self.running, {}
        try:
            return super()._is_stalled()
        finally:
            self.running = running


class StallWithoutGrace(Scheduler):
    """Gives up at once what waits for a thread that was given up."""

    def decide(self, now):
        actions = super().decide(now)
        return [
            action._replace(delay_s=0.0)
            if action.__class__ is Arm and action.timer[0] == "stall" else action
            for action in actions
        ]  # fmt: skip


class OnlyTheHeldAreGivenUp(Scheduler):
    """Lets what is ready wait for ever for slots that stuck threads have taken."""

    def _give_up_waiting(self):
        for node in self._backing_off():
            self._actions.append(Ended(node.name, 0, "launch_failed", self.now, final=True))
            self._end(node, "failed")


class ListNotOnRecord(Scheduler):
    """Makes the instances of a list without a word."""

    def decide(self, now):
        return [action for action in super().decide(now) if action.__class__ is not Expanded]


class LeftOutIsCancelled(Scheduler):
    """Records what was left out as cancelled when the run is stopped."""

    def _cancel_what_waits(self):
        for node in self.nodes.values():
            if node.spec.skip is not None and node.state == "waiting":
                self.cancel(node)
        super()._cancel_what_waits()


class SignalForgotten(Scheduler):
    """Ends a run that was stopped by a signal with an exit code of 1."""

    def _finish(self):
        finished = super()._finish()
        return finished._replace(exit_code=1) if self.stopping == "signal" else finished


class CleanupWaitsForItsNextTry(Scheduler):
    """Does not cancel, at a stop, what cleans up and waits for its next try."""

    def _is_cleanup(self, node):
        spec = node.spec
        return spec.run_when == "always" and any(self.nodes[need].begun for need in spec.needs)


class PostponedIsATry(Scheduler):
    """Takes an attempt that was postponed for one that was made."""

    def _postponed(self, event):
        counted = super()._postponed(event)
        if counted.__class__ is Postponed:
            self.nodes[event.task].attempt += 1
        return counted


class PostponedKeepsItsSlot(Scheduler):
    """Never gives back the slot of what was postponed."""

    def _postponed(self, event):
        counted = super()._postponed(event)
        if counted.__class__ is Postponed:
            self.free[self.nodes[event.task].pool] -= 1
        return counted


class RoomNeverWidens(Scheduler):
    """Never tries more than ran when the system refused something."""

    def _try_again(self, pool):
        self.room[pool].armed = False


class NeverTriedAgain(Scheduler):
    """Forgets to wake up for what was postponed."""

    def _arm_rooms(self):
        pass


class TriedAgainAtOnce(Scheduler):
    """Starts anew what the system has just refused."""

    def is_short(self, _pool):
        return False


class TimerOfAPostponedStart(Scheduler):
    """Lets the timer of a start that was postponed stop the next one."""

    def _has_time_left(self, _node):
        return False


class WaitsForTheSystemForEver(Scheduler):
    """Waits for ever for means that never come."""

    def _is_hopeless(self, _node, _room):
        return False


class GivesUpWhileOthersRun(Scheduler):
    """Fails for want of means what may have them when others have ended."""

    def _is_hopeless(self, _node, room):
        return room.is_over(room.since, self.now, self.patience_s)


class NextOneWaitsToo(Scheduler):
    """Lets each task wait as long as the first one for means that never come."""

    def _is_hopeless(self, node, room):
        hopeless = super()._is_hopeless(node, room)
        if hopeless:
            room.since = None
        return hopeless


class PostponedThoughStopped(Scheduler):
    """Starts again what was told to stop before it had begun."""

    def _postponed(self, event):
        node = self.running.get(event.task)
        if node is not None:
            node.stopping = None
        return super()._postponed(event)


class FoldForgetsPostponed(Scheduler):
    """Takes, when it folds, what was postponed for something that runs."""

    def _postponed(self, event):
        return None if self.folding else super()._postponed(event)


MUTANTS = [
    LargeRequestsStarve, LargeRequestsStarveWithoutSlots,
    ResourceKeptByFailure,
    ResourceLetGoByStuckThread,
    SlotNeverGivenBack, SlotGivenBackTwice, LateEndCounts, OneNeedMissing, NoLimitOfTries,
    OneTryTooFew, FinalIsTriedAgain, TriesAgainAfterStop, DelayForgotten, SkipStaysAlone,
    EverythingIsCleanup, NothingIsCleanup, ForcedStopSpares, PriorityIgnored, TimeoutOfAnother,
    GroupEndsEarly, AllowedFailureCounts, AllowedFailureSkips, HeldIsTriedAtOnce,
    EveryThreadIsReplaced, ToldToStopAndOk, FailFastForgotten, TimeoutIsASignal, NoGrace,
    EmptyForeachHangs, RecordWithoutSlots, FoldRewritesOutcome, FoldForgetsAStop,
    FoldDecidesAnew, FoldCancelsAnew, FoldForgetsWhatBegan, FoldForgetsTheSignal, StallNeverArmed,
    StallSeenTooSoon, StallWithoutGrace, OnlyTheHeldAreGivenUp, ListNotOnRecord,
    LeftOutIsCancelled, SignalForgotten, CleanupWaitsForItsNextTry, PostponedIsATry,
    PostponedKeepsItsSlot, RoomNeverWidens, NeverTriedAgain, TriedAgainAtOnce,
    TimerOfAPostponedStart, WaitsForTheSystemForEver, GivesUpWhileOthersRun, NextOneWaitsToo,
    PostponedThoughStopped, FoldForgetsPostponed,
]  # fmt: skip


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_mutant_is_found(mutant):
    """A scheduler with this bug violates something within 1,500 seeds."""
    assert first_violation(range(MUTANT_SEEDS), mutant) is not None


def test_a_violation_names_seed_plan_and_what_happened():
    """What is told of a violation is enough to see it again."""
    text = next(
        describe(seed, *found) for seed in range(50)
        if (found := simulate(seed, NoLimitOfTries)) is not None
    )  # fmt: skip
    assert text.startswith("seed ")
    assert "is one too many" in text
    assert " -> Started(" in text


# The rules, one by one


class Bench:
    """A scheduler with tasks named a, b, c … and the time in hand."""

    def __init__(self, *specs, fail_fast=False, **keys):
        tasks = {}
        for order, spec in enumerate(specs):
            name = spec.pop("name", "abcdefgh"[order % 8])
            mode = spec.pop("mode", "thread")
            tasks[name] = PlanTask(name, order, mode, **spec)
        self.plan = self.plan_of(tasks, **keys)
        self.scheduler = Scheduler(self.plan, "run", fail_fast=fail_fast)
        self.now = 0.0
        self.record = []
        self.actions = self.tell()

    def plan_of(self, tasks, **keys):
        """Return the plan of *tasks*."""
        return Plan("bench", "/", tasks, **keys)

    def tell(self, *events):
        """Fold *events*, and return what is decided."""
        for event in events:
            counted = self.scheduler.apply(event)
            if counted.__class__ in KINDS:
                self.record.append(counted)
        self.actions = self.scheduler.decide(self.now)
        self.record += [action for action in self.actions if action.__class__ in KINDS]
        return self.actions

    def end(self, task, outcome="ok", attempt=1, **keys):
        """Let an attempt end."""
        return self.tell(Ended(task, attempt, outcome, self.now, **keys))

    def postpone(self, task, attempt=1):
        """Let the system refuse an attempt."""
        return self.tell(Postponed(task, attempt, "the system has no means", self.now))

    def stop(self, *, force=False, signal=2):
        """Ask the run to end."""
        return self.tell(StopAsked("signal", force, self.now, signal))

    @property
    def stall(self):
        """The timer after which stuck threads are waited for no longer, if it was just armed."""
        return next((arm.timer for arm in self.of(Arm) if arm.timer[0] == "stall"), None)

    def of(self, kind):
        """Return the actions of one kind."""
        return [action for action in self.actions if action.__class__ is kind]

    @property
    def started(self):
        """What was started in the last turn."""
        return [(action.task, action.attempt) for action in self.of(Started)]

    @property
    def states(self):
        """The states of all tasks, by their first letters."""
        return {name: node.state for name, node in self.scheduler.nodes.items()}

    @property
    def finished(self):
        """How the run ended, if it did."""
        last = self.record[-1]
        return (last.state, last.exit_code)

    def again(self):
        """Return a scheduler into which the record was folded."""
        again = Scheduler(self.plan, "run", fail_fast=self.scheduler.fail_fast)
        for event in self.record:
            again.fold(event)
        return again

    def folded(self):
        """Return the states that come out of folding the record."""
        return {name: node.state for name, node in self.again().nodes.items()}


def many(count, **keys):
    """Return a ``foreach`` over a list of *count* items."""
    return {"items": [None] * count, **keys}


def test_needs_hold_a_task_back():
    """A task starts when the last of its needs has ended, and not before."""
    bench = Bench({}, {}, {"needs": ("a", "b")})
    assert bench.started == [("a", 1), ("b", 1)]
    bench.end("a")
    assert bench.started == []
    bench.end("b")
    assert bench.started == [("c", 1)]


def test_a_failure_skips_what_needs_it():
    """What needs a failed task is skipped for a failure, down the line; the rest goes on."""
    bench = Bench({}, {"needs": ("a",)}, {"needs": ("b",)}, {})
    bench.end("a", "failed")
    assert bench.of(Skipped) == [
        Skipped("b", "what it needs failed", True, 0.0),
        Skipped("c", "what it needs failed", True, 0.0),
    ]
    bench.end("d")
    assert bench.finished == ("failed", 1)


def test_run_when_failed_runs_after_a_failure():
    """``run_when: failed`` starts when one of its needs failed, and the run fails all the same."""
    bench = Bench({}, {}, {"needs": ("a", "b"), "run_when": "failed"})
    bench.end("a", "failed")
    bench.end("b")
    assert bench.started == [("c", 1)]
    bench.end("c")
    assert bench.finished == ("failed", 1)


def test_run_when_failed_without_a_failure():
    """``run_when: failed`` is skipped when nothing failed, and that is no failure."""
    bench = Bench({}, {"needs": ("a",), "run_when": "failed"})
    bench.end("a")
    assert bench.of(Skipped) == [Skipped("b", "nothing failed", False, 0.0)]
    assert bench.finished == ("succeeded", 0)


@pytest.mark.parametrize("outcome", ["ok", "failed"])
def test_run_when_always(outcome):
    """``run_when: always`` starts however its needs ended."""
    bench = Bench({}, {"needs": ("a",), "run_when": "always"})
    bench.end("a", outcome)
    assert bench.started == [("b", 1)]


def test_run_when_failed_after_a_skip_for_a_failure():
    """A need that was skipped for a failure counts as failed."""
    bench = Bench({}, {"needs": ("a",)}, {"needs": ("b",), "run_when": "failed"})
    bench.end("a", "failed")
    assert bench.started == [("c", 1)]


def test_when_false_skips_without_a_failure():
    """``when`` false skips the task and what needs it, but not ``always``; no failure."""
    bench = Bench(
        {"when": "?"}, {"needs": ("a",)}, {"needs": ("b",), "run_when": "always"},
    )  # fmt: skip
    assert bench.actions == [Resolve("a")]
    bench.tell(Decided("a", False, 0.0))
    assert [(skip.task, skip.failure) for skip in bench.of(Skipped)] == [("a", False), ("b", False)]
    assert bench.started == [("c", 1)]
    bench.end("c")
    assert bench.finished == ("succeeded", 0)


def test_a_condition_that_cannot_be_told_fails():
    """A task whose condition cannot be looked at fails without an attempt, and is not retried."""
    bench = Bench({"when": "?", "retry": RetryPolicy(3)})
    bench.end("a", "launch_failed", attempt=0)
    assert bench.states == {"a": "failed"}
    assert bench.finished == ("failed", 1)


def test_left_out_tasks_do_not_hold_others_up():
    """What needs a task that the user left out runs as if that had succeeded."""
    bench = Bench({"skip": "left out (--skip)"}, {"needs": ("a",)})
    assert bench.of(Skipped) == [Skipped("a", "left out (--skip)", False, 0.0)]
    assert bench.started == [("b", 1)]


def test_allow_failure():
    """A failure that is allowed shows as failed, and counts as success for the rest."""
    bench = Bench({"allow_failure": True}, {"needs": ("a",)})
    bench.end("a", "failed")
    assert bench.started == [("b", 1)]
    bench.end("b")
    assert bench.states == {"a": "failed", "b": "succeeded"}
    assert bench.finished == ("succeeded", 0)


def test_priority_then_file_order():
    """Of what is ready the higher priority starts first, then what stands first in the file."""
    bench = Bench({}, {}, {"priority": 2}, {"priority": 2}, threads=1)
    order = list(bench.started)
    while bench.scheduler.running:
        order += bench.end(order[-1][0]) and bench.started
    assert [name for name, _ in order] == ["c", "d", "a", "b"]


def test_pools_are_apart():
    """Threads and processes have slots of their own; programs share those of processes."""
    specs = [{"mode": mode} for mode in ("thread", "thread", "process", "subprocess")]
    bench = Bench(*specs, threads=1, processes=1)
    assert bench.started == [("a", 1), ("c", 1)]


def test_fail_fast():
    """``fail_fast`` stops what runs and cancels what waits at the first failure."""
    bench = Bench({}, {}, {"needs": ("b",)}, fail_fast=True)
    bench.end("a", "failed")
    assert bench.actions[0] == StopAsked("fail_fast", False, 0.0)
    assert bench.of(Stop) == [Stop("b", 1, False)]
    assert bench.of(Cancelled) == [Cancelled("c", 0.0)]
    bench.end("b", "stopped")
    assert bench.finished == ("failed", 1)


def test_fail_fast_and_an_allowed_failure():
    """``fail_fast`` does not mind a failure that is allowed."""
    bench = Bench({"allow_failure": True}, {}, fail_fast=True)
    bench.end("a", "failed")
    assert bench.actions == []


def test_cleanup_after_a_stop():
    """After a stop only ``always`` tasks start whose needs had begun; a forced one ends them."""
    cleanup = {"needs": ("a",), "run_when": "always"}
    bench = Bench({}, {"needs": ("a",)}, cleanup, {"needs": ("b",), "run_when": "always"})
    bench.stop()
    assert bench.of(Cancelled) == [Cancelled("b", 0.0), Cancelled("d", 0.0)]
    bench.end("a", "stopped")
    assert bench.started == [("c", 1)]
    assert bench.of(Arm) == [Arm(("cleanup",), 10.0)]
    bench.tell(Fired(("cleanup",), 10.0))
    assert bench.of(Stop) == [Stop("c", 1, True)]
    bench.end("c", "failed")
    assert bench.finished == ("cancelled", 130)


def test_a_forced_stop_starts_nothing():
    """A forced stop kills at once and cancels what would clean up."""
    bench = Bench({}, {"needs": ("a",), "run_when": "always"})
    bench.stop(force=True)
    assert bench.of(Stop) == [Stop("a", 1, True)]
    assert bench.of(Cancelled) == [Cancelled("b", 0.0)]


def test_the_time_limit_of_the_run():
    """When the run's time is over it stops, and exits with 124."""
    bench = Bench({}, timeout_s=5.0)
    assert Arm(("run",), 5.0) in bench.actions
    bench.tell(Fired(("run",), 5.0))
    bench.end("a", "stopped")
    assert bench.finished == ("failed", 124)


def test_timeout_then_grace():
    """An attempt is asked to stop at its time limit, killed after its grace, and timed out."""
    bench = Bench({"timeout_s": 3.0, "grace_s": 2.0})
    bench.tell(Fired(("timeout", "a", 1), 3.0))
    assert bench.actions == [Stop("a", 1, False), Arm(("grace", "a", 1), 2.0)]
    bench.tell(Fired(("grace", "a", 1), 5.0))
    assert bench.actions == [Stop("a", 1, True)]
    bench.end("a", "ok")
    assert bench.record[-2].outcome == "timed_out"


def test_delays_grow():
    """The delay grows by the factor up to its limit, exactly, without jitter."""
    policy = RetryPolicy(attempts=5, delay_s=1.0, backoff=3.0, max_delay_s=10.0, jitter=False)
    bench = Bench({"retry": policy})
    for attempt in range(1, 6):
        bench.end("a", "failed", attempt)
        bench.tell(Fired(("retry", "a", attempt), 0.0))
    delays = [event.delay_s for event in bench.record if event.__class__ is Retrying]
    assert delays == [1.0, 3.0, 9.0, 10.0]
    assert bench.finished == ("failed", 1)


def test_jitter_is_the_same_again():
    """The delay by chance is between half and all of it, and the same for the same run."""
    benches = [Bench({"retry": RetryPolicy(attempts=2, delay_s=8.0)}) for _ in range(2)]
    one, two = (bench.end("a", "failed")[0].delay_s for bench in benches)
    assert one == two
    assert 4.0 <= one <= 8.0


def test_a_given_up_thread_holds_its_retry():
    """A thread that was given up frees its slot, and its next try waits until it really ends."""
    bench = Bench({"retry": RetryPolicy(2)}, {}, threads=1)
    bench.end("a", "timed_out", left_running=True)
    assert bench.started == [("b", 1)]
    assert bench.of(Retrying) == []
    bench.tell(Returned("a", 1, 9.0))
    assert len(bench.of(Retrying)) == 1


@pytest.mark.promise(1)
def test_late_and_double_ends_are_ignored():
    """The first end of an attempt counts; others, and those of unknown ones, are nothing."""
    bench = Bench({})
    late = [Ended("a", 2, "ok", 0.0), Ended("b", 1, "ok", 0.0), Returned("a", 1, 0.0)]
    assert [bench.scheduler.apply(event) for event in late] == [None, None, None]
    assert bench.scheduler.apply(Ended("a", 1, "failed", 0.0)) is not None
    assert bench.scheduler.apply(Ended("a", 1, "ok", 0.0)) is None


@pytest.mark.parametrize("spec", [many(0), {"foreach": "?"}])
def test_foreach_over_nothing_succeeds(spec):
    """A ``foreach`` without items has succeeded, and what needs it starts."""
    bench = Bench(spec, {"needs": ("a",)})
    bench.tell(Expanded("a", "[]", 0, 0.0))
    assert bench.states == {"a": "succeeded", "b": "running"}


def test_foreach_ends_with_its_last_instance():
    """A ``foreach`` ends with the last of its instances, in the worst of their states."""
    bench = Bench(many(2), {"needs": ("a",)})
    assert bench.started == [("a.0", 1), ("a.1", 1)]
    bench.end("a.0", "failed")
    assert bench.states["a"] == "waiting"
    bench.end("a.1")
    assert bench.states == {"a": "failed", "a.0": "failed", "a.1": "succeeded", "b": "skipped"}


@pytest.mark.promise(18)
def test_a_chain_of_100_000():
    """A failure at the head of a chain of 100,000 skips it all, without recursion."""
    specs = [{"name": f"n{i}", "needs": (f"n{i - 1}",) if i else ()} for i in range(100_000)]
    bench = Bench(*specs)
    bench.end("n0", "failed")
    assert bench.scheduler.counts["skipped"] == 99_999
    assert bench.finished == ("failed", 1)


@pytest.mark.promise(18)
def test_50_000_into_one():
    """One task that needs 50,000 starts when the last of them has ended."""
    names = tuple(f"n{i}" for i in range(50_000))
    bench = Bench(*({"name": name} for name in names), {"name": "one", "needs": names},
                  threads=50_000)  # fmt: skip
    bench.tell(*(Ended(name, 1, "ok", 0.0) for name in names[1:]))
    assert bench.started == []
    bench.end("n0")
    assert bench.started == [("one", 1)]


@pytest.mark.parametrize("signal", [1, 2, 15])
def test_a_signal_is_in_the_exit_code(signal):
    """A run that a signal has ended exits with 128 and the number of the first one."""
    bench = Bench({})
    bench.stop(signal=signal)
    bench.stop(signal=9, force=True)
    bench.end("a", "stopped")
    assert bench.finished == ("cancelled", 128 + signal)


def test_a_left_out_task_is_skipped_though_the_run_is_stopped():
    """A task that the user left out is skipped, not cancelled, when the run is stopped."""
    bench = Bench({}, {"needs": ("a",), "skip": "left out (--skip)"})
    bench.stop()
    assert bench.of(Skipped) == [Skipped("b", "left out (--skip)", False, 0.0)]
    assert bench.states["b"] == "skipped"


def test_a_cleanup_that_waits_for_its_next_try_is_cancelled_by_a_stop():
    """What cleans up and has made an attempt already does not wait for another after a stop."""
    cleanup = {"needs": ("a",), "run_when": "always", "retry": RetryPolicy(2, delay_s=60.0)}
    bench = Bench({}, cleanup, {"needs": ("a",)})
    bench.end("a")
    bench.end("b", "failed")
    bench.stop()
    assert bench.of(Cancelled) == [Cancelled("b", 0.0)]


def calls_of_a_stop(count):
    """Return how many calls a stop takes that cancels *count* instances that would clean up."""
    cleanup = many(count, name="b", needs=("a",), run_when="always")
    bench = Bench(many(count, name="a", when="?"), cleanup, threads=1)
    bench.tell(*(Decided(f"a.{index}", False, 0.0) for index in range(count)))
    assert bench.started == [("b.0", 1)]
    calls = 0

    def count_it(*_):
        nonlocal calls
        calls += 1

    before = sys.getprofile()
    sys.setprofile(count_it)
    try:
        bench.stop()
    finally:
        sys.setprofile(before)
    assert len(bench.of(Cancelled)) == count - 1
    return calls


@pytest.mark.promise(18)
def test_a_stop_is_linear():
    """Whether a wide ``foreach`` has begun is not counted anew for each instance that needs it."""
    assert calls_of_a_stop(400) < 2.5 * calls_of_a_stop(200)


# Threads that never return


def stuck(*specs, **keys):
    """Return a bench with one slot: a and b are stuck in threads beyond it."""
    bench = Bench({"priority": 2}, {"priority": 1}, *specs, threads=1, **keys)
    bench.end("a", "timed_out", left_running=True)
    bench.end("b", "timed_out", left_running=True)
    return bench


def test_a_thread_that_never_returns_does_not_hold_the_run():
    """A task with tries left whose thread is stuck fails after a grace; nobody has to stop it."""
    bench = Bench({"retry": RetryPolicy(2)}, {"needs": ("a",)}, grace_s=3.0)
    bench.end("a", "timed_out", left_running=True)
    assert bench.of(Arm) == [Arm(bench.stall, 3.0)]
    bench.tell(Fired(bench.stall, 3.0))
    assert bench.states == {"a": "failed", "b": "skipped"}
    assert bench.finished == ("failed", 1)


def test_a_thread_that_never_returns_does_not_hold_a_stop():
    """What waits for a stuck thread before its retry is cancelled by a stop."""
    bench = Bench({}, {"needs": ("a",), "run_when": "always", "retry": RetryPolicy(2)})
    bench.end("a")
    bench.end("b", "timed_out", left_running=True)
    bench.stop()
    assert bench.of(Cancelled) == [Cancelled("b", 0.0)]
    assert bench.finished == ("cancelled", 130)


def test_stuck_threads_in_every_slot_do_not_hold_the_run():
    """When stuck threads have taken every slot, what is ready fails without an attempt."""
    bench = stuck({})
    bench.tell(Fired(bench.stall, 10.0))
    ended = bench.of(Ended)
    assert [(*event[:3], event.final) for event in ended] == [("c", 0, "launch_failed", True)]
    assert bench.states["c"] == "failed"
    assert bench.folded() == bench.states


def test_a_stuck_thread_is_no_matter_while_others_run():
    """Nothing is given up while something runs, backs off or is looked at."""
    bench = stuck({}, {"mode": "process"})
    assert bench.stall is None
    bench.end("d")
    assert bench.stall is not None


def test_a_retry_that_stuck_threads_prevent_is_given_up_on_record():
    """What has made an attempt, and finds no slot for its next one, is folded as failed."""
    bench = Bench({"retry": RetryPolicy(2), "priority": 1}, {}, {}, threads=1)
    bench.end("a", "failed")
    bench.end("b", "timed_out", left_running=True)
    bench.end("c", "timed_out", left_running=True)
    bench.tell(Fired(("retry", "a", 1), 2.0))
    bench.tell(Fired(bench.stall, 12.0))
    assert bench.states["a"] == "failed"
    assert bench.folded() == bench.states


def test_a_given_up_wait_is_on_record():
    """A task that failed because its thread is stuck is folded as failed."""
    bench = Bench({"retry": RetryPolicy(2)})
    bench.end("a", "timed_out", left_running=True)
    bench.tell(Fired(bench.stall, 10.0))
    assert bench.states == {"a": "failed"}
    assert bench.folded() == bench.states


def test_a_stop_of_what_is_looked_at_leaves_nothing_to_wait_for():
    """A task that is cancelled while its condition is looked at does not hide a stall."""
    bench = stuck({"needs": ("a",), "run_when": "always"}, {"when": "?"})
    bench.stop()
    assert bench.states["d"] == "cancelled"
    stall = bench.stall
    bench.tell(Decided("d", True, 0.0))
    assert stall is not None or bench.stall is not None


def test_a_thread_that_returns_with_the_stall():
    """When a stuck thread returns before the stall is over, what is ready starts in its slot."""
    bench = stuck({})
    stall = bench.stall
    bench.tell(Returned("b", 1, 10.0), Fired(stall, 10.0))
    assert bench.started == [("c", 1)]


def test_a_stall_counts_from_the_last_move():
    """A timer that was armed before something moved does not end the grace of a later stall."""
    bench = Bench({"retry": RetryPolicy(3)})
    bench.end("a", "timed_out", left_running=True)
    stall = bench.stall
    bench.tell(Returned("a", 1, 9.0))
    bench.tell(Fired(("retry", "a", 1), 9.5))
    bench.now = 9.9
    bench.end("a", "timed_out", attempt=2, left_running=True)
    bench.tell(Fired(stall, 10.0))
    assert bench.states == {"a": "backoff"}


def test_a_stall_is_seen_again():
    """What is let go in the turn in which a stall was over does not wait for ever."""
    bench = stuck({}, {"needs": ("a", "c"), "run_when": "always"})
    stall = bench.stall
    bench.tell(StopAsked("signal", False, 10.0, 2), Fired(stall, 10.0))
    assert bench.states["d"] == "ready"
    assert bench.stall is not None


# Want of means


def test_what_is_postponed_starts_again_under_its_number():
    """A refused attempt is tried again after a moment, as the same one, and no retry is used."""
    bench = Bench({})
    bench.postpone("a")
    assert bench.actions == [Arm(("room", "threads"), 0.1)]
    bench.tell(Fired(("room", "threads"), 0.1))
    assert bench.started == [("a", 1)]
    bench.end("a")
    assert bench.finished == ("succeeded", 0)


def test_no_more_are_tried_than_ran():
    """After a refusal a task starts when another ends, and one more when the moment is over."""
    bench = Bench({}, {}, {}, {}, {}, threads=3)
    bench.postpone("c")
    assert bench.started == []
    bench.end("a")
    assert bench.started == [("c", 1)]
    bench.tell(Fired(("room", "threads"), 0.1))
    assert bench.started == [("d", 1)]


def test_the_moments_get_longer():
    """Each moment is twice as long, up to 5 s; once an attempt has ended they are short again."""
    bench, delays = Bench({}, {}), []
    bench.postpone("b")
    for _ in range(7):
        delays += [arm.delay_s for arm in bench.of(Arm)]
        bench.postpone("b")
        bench.tell(Fired(("room", "threads"), 0.0))
    assert delays == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0]
    bench.end("a", "failed")
    bench.tell(Fired(("room", "threads"), 0.0))
    assert bench.of(Arm) == [Arm(("room", "threads"), 0.1)]


def test_when_nothing_can_be_started_the_run_ends():
    """What the system refuses for 30 s while nothing runs fails; the next one is tried at once."""
    bench = Bench({}, {})
    bench.postpone("a")
    bench.postpone("b")
    bench.now = 29.0
    bench.tell(Fired(("room", "threads"), 29.0))
    bench.postpone("a")
    assert bench.states == {"a": "ready", "b": "ready"}
    bench.now = 30.0
    bench.tell(Fired(("room", "threads"), 30.0))
    bench.postpone("a")
    assert bench.record[-2][:3] == ("a", 1, "launch_failed")
    assert bench.started == [("b", 1)]
    bench.postpone("b")
    assert bench.finished == ("failed", 1)


def test_what_is_postponed_is_cancelled_by_a_stop():
    """A task that waits for means is cancelled like any that had not started."""
    bench = Bench({}, {"needs": ("a",)})
    bench.postpone("a")
    bench.stop()
    assert bench.states == {"a": "cancelled", "b": "cancelled"}
    assert bench.folded() == bench.states


def test_folding_arms_what_is_postponed():
    """After folding, what was postponed is tried again after a moment."""
    bench = Bench({})
    bench.postpone("a")
    assert Arm(("room", "threads"), 0.1) in bench.again().decide(1.0)


# Folding the record


def test_folding_keeps_a_time_limit_apart_from_a_stop():
    """An attempt in its grace after a time limit when the run is stopped is folded as failed."""
    bench = Bench({"timeout_s": 1.0})
    bench.tell(Fired(("timeout", "a", 1), 1.0))
    bench.stop()
    bench.end("a", "failed")
    assert bench.states == {"a": "failed"}
    assert bench.folded() == bench.states


def test_folding_knows_the_instances_of_a_list():
    """The instances of a ``foreach`` over a list are on record, and folded."""
    bench = Bench(many(2))
    assert bench.of(Expanded) == [Expanded("a", "null", 2, 0.0)]
    bench.end("a.0")
    assert bench.folded() == bench.states


def test_folding_does_not_cancel_an_empty_list():
    """A ``foreach`` over an empty list has succeeded before a stop, and that is on record."""
    bench = Bench(many(0), {})
    assert bench.of(Expanded) == [Expanded("a", "null", 0, 0.0)]
    bench.stop()
    assert bench.folded() == bench.states


def test_folding_keeps_what_could_not_be_prepared():
    """A condition that could not be told is folded as a failure."""
    bench = Bench({"when": "?"})
    bench.end("a", "launch_failed", attempt=0)
    assert bench.folded() == bench.states


def test_folding_keeps_a_skip_in_the_turn_of_a_stop():
    """What was skipped in the turn of a stop is folded as skipped, not as cancelled."""
    bench = Bench({"when": "?"}, {})
    bench.tell(Decided("a", False, 0.0), StopAsked("signal", False, 0.0))
    assert bench.states["a"] == "skipped"
    assert bench.folded() == bench.states


def test_folding_decides_nothing():
    """After folding, no delay that is long over is recorded once more."""
    bench = Bench({"retry": RetryPolicy(2)})
    bench.end("a", "failed")
    bench.tell(Fired(("retry", "a", 1), 2.0))
    assert [action for action in bench.again().decide(3.0) if action.__class__ in KINDS] == []


def test_folding_expands_once():
    """After folding, the items of a ``foreach`` that are known are not asked for once more."""
    bench = Bench({"foreach": "?"})
    bench.tell(Expanded("a", "[1]", 1, 0.0))
    assert Resolve("a") not in bench.again().decide(1.0)


def test_folding_knows_the_signal():
    """A run that is taken up after a signal ends with the exit code of that."""
    bench = Bench({})
    bench.stop(signal=15)
    again = bench.again()
    again.apply(Ended("a", 1, "stopped", 0.0))
    assert again.decide(0.0)[-1][:2] == ("cancelled", 143)


def test_conditions_of_instances_are_looked_at_again():
    """After folding, a condition that was not told of yet is asked for, of instances too."""
    bench = Bench(many(2, when="?"), {"when": "?"})
    bench.tell(Decided("a.0", False, 0.0))
    assert set(bench.again().decide(1.0)) == {Resolve("a.1"), Resolve("b")}


def test_an_instance_that_has_started_is_not_looked_at():
    """After folding, the condition of an instance that was started does not hide a stall."""
    bench = Bench(many(1, when="?", retry=RetryPolicy(2)))
    bench.tell(Decided("a.0", True, 0.0))
    bench.end("a.0", "timed_out", left_running=True)
    assert bench.stall is not None
    assert any(action.__class__ is Arm for action in bench.again().decide(1.0))
