"""The scheduler and its pipelines: the rules of queues, one by one."""

import pytest

from orchestrator.events import (
    Arrived,
    Cancelled,
    Decided,
    Drained,
    Ended,
    Expanded,
    Failure,
    Fired,
    Left,
    Retrying,
    Returned,
    Skipped,
    Spoiled,
)
from orchestrator.nodes import Arm, CloseQueue, EndQueue, Feed, Over, Resolve, SetAside, Stop
from orchestrator.plan.model import POOL_OF, Pipeline, Plan, PlanQueue, RetryPolicy
from tests.test_simulation import Bench

AGAIN = RetryPolicy(2, delay_s=0.0)


class Joined(Bench):
    """A bench of tasks that queues join; *rules* are keys of queues.

    Tasks whose queues begin with the same letter are one pipeline, in the order of flow as they
    stand.
    """

    def __init__(self, *specs, rules=None, **keys):
        self.rules = rules or {}
        super().__init__(*specs, **keys)

    def plan_of(self, tasks, **keys):
        """Return the plan of *tasks*, with the queues that they name."""
        lines, queues = {}, {}
        for task in tasks.values():
            reads = task.consume or task.source
            for name, side in ((task.publish, "publishers"), (reads, "consumers")):
                if name is not None:
                    queue = queues.setdefault(name, PlanQueue(name, **self.rules.get(name, {})))
                    setattr(queue, side, (*getattr(queue, side), task.name))
            if task.publish or reads:
                lines.setdefault((task.publish or reads)[0], []).append(task)
        plan = Plan("bench", "/", tasks, queues=queues, **keys)
        for members in lines.values():
            needs = {"threads": 0, "processes": 0}
            for task in members:
                needs[POOL_OF[task.mode]] += task.replicas or 1
            plan.pipelines.append(Pipeline(tuple(task.name for task in members), **needs))
        return plan

    def fire(self, *timer):
        """Let *timer* be due."""
        return self.tell(Fired(timer, self.now))


def fills(name="q", **keys):
    """Return a task that publishes to queue *name*."""
    return {"publish": name, "mode": "process", **keys}


def reads(name="q", **keys):
    """Return a task that consumes queue *name*."""
    return {"consume": name, "mode": "process", **keys}


def goes_through(name="q", **keys):
    """Return a task with an attempt for each item of queue *name*."""
    return {"source": name, "mode": "process", **keys}


def rule(how, **keys):
    """Return the rules of one queue, called q."""
    return {"q": {"on_consumer_exit": how, **keys}}


# Beginning


def test_members_start_together():
    """Members start when there are slots for all of them, replicas included, and not before."""
    bench = Joined({"mode": "process"}, fills(), reads(replicas=2), processes=3)
    assert bench.started == [("a", 1)]
    bench.end("a")
    assert [name for name, _ in bench.started] == ["b", "c.0", "c.1"]


def test_what_one_needs_holds_up_all():
    """Nobody of a pipeline starts before what any of them needs has ended."""
    bench = Joined({}, fills(needs=("a",)), reads(), processes=2)
    assert bench.started == [("a", 1)]
    bench.end("a")
    assert bench.started == [("b", 1), ("c", 1)]


def test_a_failed_need_skips_all():
    """When what one of them needs failed all are skipped for a failure, and what needs them."""
    specs = ({}, fills(needs=("a",)), reads(), {"needs": ("c",), "run_when": "failed"})
    bench = Joined(*specs, processes=2)
    bench.end("a", "failed")
    assert [skip.failure for skip in bench.of(Skipped)] == [True, True]
    assert bench.started == [("d", 1)]


def test_a_false_condition_skips_all():
    """When `when` of one of them is false nobody starts, and that is no failure."""
    bench = Joined(fills(), reads(when="?"), processes=2)
    assert bench.actions == [Resolve("b")]
    bench.tell(Decided("b", False, 0.0))
    assert [skip.failure for skip in bench.of(Skipped)] == [False, False]
    assert bench.finished == ("succeeded", 0)


def test_instances_that_are_dropped_are_a_failure_too():
    """A member whose items are known is skipped for a failure, as a whole, with the others."""
    cleanup = {"needs": ("a",), "run_when": "failed"}
    bench = Joined(fills(foreach="?"), reads(when="?"), cleanup, processes=2)
    bench.tell(Expanded("a", "[1]", 1, 0.0))
    bench.end("b", "launch_failed", attempt=0)
    assert bench.states["a.0"] == "skipped"
    assert bench.started == [("c", 1)]


def test_who_ranks_behind_does_not_overtake():
    """What ranks behind a pipeline that waits for slots does not take them; what is before does."""
    specs = ({"mode": "process"}, {"mode": "process"}, fills(), reads(), {"mode": "process"})
    bench = Joined(*specs, {"mode": "process", "priority": 1, "needs": ("a",)}, processes=2)
    assert [name for name, _ in bench.started] == ["a", "b"]
    bench.end("a")
    assert bench.started == [("f", 1)]
    bench.end("b")
    assert bench.started == []
    bench.end("f")
    assert bench.started == [("c", 1), ("d", 1)]


def test_a_pipeline_does_not_wait_for_slots_of_others():
    """A pipeline that waits keeps another only out of the pools that it needs itself."""
    threads = ({"publish": "r", "mode": "thread"}, {"consume": "r", "mode": "thread"})
    bench = Joined({"mode": "process"}, fills(), reads(), *threads, processes=2, threads=2)
    assert [name for name, _ in bench.started] == ["a", "d", "e"]


def test_nobody_overtakes_the_second_that_waits():
    """What ranks behind the second of two pipelines that wait leaves it its slots."""
    busy = [{"mode": "process"}, {"mode": "thread"}]
    line = [{"publish": "r", "mode": "thread"}, {"consume": "r", "mode": "thread"}]
    bench = Joined(*busy, fills(), reads(), *line, {"mode": "thread"}, processes=2, threads=2)
    assert [name for name, _ in bench.started] == ["a", "b"]


def test_one_with_nothing_to_do_closes_nothing_while_others_are_to_come():
    """A consumer without items does not close the queue that replicas beside it are to read."""
    bench = Joined(fills(), reads(items=[]), reads(replicas=2), processes=4)
    assert bench.of(CloseQueue) == []
    assert [name for name, _ in bench.started] == ["a", "c.0", "c.1"]


def test_publishers_do_not_start_for_a_consumer_with_nothing_to_do():
    """Who has nobody to publish to is skipped; queues end before the pipeline is over, once."""
    bench = Joined(fills(), reads(items=[]), {"needs": ("b",)}, processes=2)
    seen = [
        type(action) for action in bench.actions if type(action) in (CloseQueue, EndQueue, Over)
    ]
    assert seen == [CloseQueue, EndQueue, Over]
    assert bench.states["a"] == "skipped"
    assert bench.started == [("c", 1)]


def test_what_needs_a_pipeline_with_nothing_to_do_starts_in_the_same_turn():
    """A pipeline that is over as soon as it began holds nobody up."""
    bench = Joined(fills(items=[]), reads(items=[]), {"needs": ("a", "b")}, processes=2)
    assert bench.of(Over) == [Over(("q",))]
    assert bench.started == [("c", 1)]


# Ends


def test_a_queue_ends_with_the_last_of_its_publishers():
    """A queue ends once, when all who fill it have ended well."""
    bench = Joined(fills(replicas=2), reads(), processes=3)
    bench.end("a.0")
    assert bench.of(EndQueue) == []
    bench.end("a.1")
    assert bench.of(EndQueue) == [EndQueue("q")]
    bench.end("b")
    assert bench.of(Over) == [Over(("q",))]
    assert bench.finished == ("succeeded", 0)


def test_a_failure_ends_the_others_in_the_order_of_flow():
    """A member that failed ends the others, first to last; they name it, and no queue ends."""
    bench = Joined(fills("qa"), reads("qa", publish="qb"), reads("qb"), processes=3)
    bench.end("b", "failed")
    assert bench.of(Stop) == [Stop("a", 1, False), Stop("c", 1, False)]
    bench.end("a")
    assert bench.of(EndQueue) == []
    bench.end("c", "failed")
    ended = [event for event in bench.record if event.__class__ is Ended]
    assert [event.outcome for event in ended] == ["failed", "stopped", "stopped"]
    assert ended[1].error.message == "stopped with its pipeline: task `b` failed"
    assert bench.scheduler.failures == 1


def test_an_allowed_failure_ends_nobody():
    """A failure that is allowed does not end the pipeline; the queue is closed all the same."""
    bench = Joined(fills(), reads(allow_failure=True), processes=2)
    bench.end("b", "failed")
    assert bench.of(Stop) == []
    assert bench.of(CloseQueue) == [CloseQueue("q", False)]


def test_no_queue_ends_when_what_is_closed_has_failed():
    """Who ends last of a queue's readers closes it before a queue of its own can end."""
    through = goes_through("qa", publish="qb")
    bench = Joined(fills("qa"), through, reads("qb", publish="qc", allow_failure=True),
                   reads("qc"), processes=5)  # fmt: skip
    bench.tell(Arrived("b", 0, "0", 0.0))
    bench.end("b.0", "failed")
    bench.end("c", "failed")
    assert bench.of(EndQueue) == []
    assert bench.of(Stop) == [Stop("a", 1, False), Stop("d", 1, False)]


def test_a_member_is_tried_again_only_while_its_pipeline_goes_on():
    """After a failure that ended the pipeline no member makes another attempt."""
    bench = Joined(fills(retry=AGAIN), reads(retry=AGAIN, replicas=2), processes=3)
    bench.end("a", "failed")
    assert len(bench.of(Retrying)) == 1
    bench.end("b.0", "failed", final=True)
    assert bench.of(Cancelled) == [Cancelled("a", 0.0)]
    bench.end("b.1", "failed")
    assert bench.of(Retrying) == []


def test_a_slot_is_kept_while_a_member_backs_off():
    """What waits for its next try has its slot then."""
    bench = Joined(fills(retry=AGAIN), reads(), {"mode": "process"}, processes=2)
    bench.end("a", "failed")
    assert bench.started == []
    bench.fire("retry", "a", 1)
    assert bench.started == [("a", 2)]


def test_a_replica_that_is_cancelled_gives_its_slot_back():
    """A replica that backs off when its pipeline ends keeps no slot until the others ended."""
    specs = (fills(replicas=2, retry=AGAIN), reads(), {"mode": "process"}, {"mode": "process"})
    bench = Joined(*specs, processes=3)
    bench.end("a.0", "failed")
    bench.end("b", "failed")
    assert bench.started == [("c", 1), ("d", 1)]


def test_a_spoiled_publisher_fails_with_the_reason():
    """Who publishes what is no item is stopped, and fails with the reason; a next try does not."""
    spoilt = Failure("OutputError", "line 3 of stdout is not JSON")
    bench = Joined(fills(retry=AGAIN), reads(), processes=2)
    bench.tell(Spoiled("a", 1, spoilt, 0.0))
    assert bench.of(Stop) == [Stop("a", 1, False)]
    bench.end("a", "stopped")
    assert bench.record[-2].error == spoilt
    bench.fire("retry", "a", 1)
    bench.stop()
    bench.end("a", "stopped", attempt=2)
    assert bench.record[-1].error.message == "stopped with the run"


def test_after_a_stop_nothing_of_a_begun_pipeline_starts():
    """Instances that have not started are cancelled, also those that would clean up."""
    cleanup = {"needs": ("a",), "run_when": "always", "items": [1, 2]}
    bench = Joined({}, fills(needs=("a",), run_when="always"), reads(**cleanup), processes=2)
    bench.end("a")
    assert [name for name, _ in bench.started] == ["b", "c.0"]
    bench.stop()
    assert bench.of(Cancelled) == [Cancelled("c.1", 0.0)]


# Nobody reads any more


def test_stop_closes_publishers():
    """When nobody reads any more who publishes is closed, and SIGPIPE is no failure."""
    bench = Joined(fills(mode="subprocess"), reads(), processes=2)
    bench.end("b", unread=True)
    assert bench.actions[:2] == [CloseQueue("q", False), Arm(("closed", "q"), 10.0)]
    bench.end("a", "failed", signal=13)
    assert bench.states == {"a": "succeeded", "b": "succeeded"}
    assert bench.finished == ("succeeded", 0)


def test_who_takes_no_notice_is_stopped_after_a_grace():
    """A publisher that goes on though nobody reads is stopped after a grace, and was ok."""
    bench = Joined(fills(), reads(), processes=2)
    bench.end("b")
    bench.fire("closed", "q")
    assert bench.of(Stop) == [Stop("a", 1, False)]
    bench.end("a", "failed", signal=15)
    assert bench.finished == ("succeeded", 0)


def test_drain_lets_publishers_go_on():
    """With ``drain`` publishers go on, and what they publish is thrown away."""
    bench = Joined(fills(), reads(), rules=rule("drain"), processes=2)
    bench.end("b")
    assert bench.actions == [CloseQueue("q", True)]


def test_fail_makes_an_early_end_a_failure():
    """With ``fail`` the last consumer that ends early has failed, and that ends the pipeline."""
    bench = Joined(fills(), reads(replicas=2), rules=rule("fail"), processes=3)
    bench.end("b.0", unread=True)
    assert bench.actions == []
    bench.end("b.1", unread=True)
    assert bench.record[-1].error.type == "EarlyExit"
    assert bench.of(Stop) == [Stop("a", 1, False)]


def test_fail_blames_who_left():
    """With ``fail`` the one who closed its stdin last is the cause, wherever it stands."""
    bench = Joined(fills(), reads(), reads(), rules=rule("fail"), processes=3)
    bench.end("c", unread=True)
    bench.tell(Left("b", 1, 0.0))
    bench.fire("left", "b", 1)
    assert bench.of(Stop) == [Stop("a", 1, False)]
    bench.end("b", unread=True)
    bench.end("a")
    assert bench.record[-2].error.message == "stopped with its pipeline: task `b` failed"
    assert bench.states == {"a": "cancelled", "b": "failed", "c": "succeeded"}


def test_fail_and_a_failure_that_is_allowed():
    """With ``fail`` an early end that may fail closes the publishers, as with ``stop``."""
    bench = Joined(fills(), reads(allow_failure=True), rules=rule("fail"), processes=2)
    bench.end("b", unread=True)
    assert bench.states["b"] == "failed"
    assert bench.of(CloseQueue) == [CloseQueue("q", False)]
    bench.end("a")
    assert bench.finished == ("succeeded", 0)


@pytest.mark.parametrize("mode", ["thread", "process", "subprocess"])
def test_fail_does_not_blame_who_was_closed(mode):
    """A member that ends because nobody reads what it publishes did not leave its own queue."""
    rules = {"qa": {"on_consumer_exit": "fail"}}
    middle = reads("qa", publish="qb", mode=mode)
    bench = Joined(fills("qa"), middle, reads("qb"), rules=rules, processes=3)
    bench.end("c", unread=True)
    bench.end("b", "failed" if mode == "subprocess" else "ok", unread=True)
    assert bench.states["b"] == "succeeded"
    assert bench.of(CloseQueue) == [CloseQueue("qa", False)]


def test_a_program_that_closes_stdin_has_a_moment_to_end():
    """A program that closes its stdin and ends at once has ended; one that goes on has left."""
    bench = Joined(fills(), reads(), processes=2)
    bench.tell(Left("b", 1, 0.0))
    assert bench.actions == [Arm(("left", "b", 1), 0.2)]
    bench.fire("left", "b", 1)
    assert bench.of(CloseQueue) == [CloseQueue("q", False)]


def test_who_is_being_stopped_does_not_leave():
    """A consumer that closes its stdin because it was told to end will be tried again."""
    bench = Joined(fills(), reads(retry=AGAIN, timeout_s=1.0), processes=2)
    bench.now = 1.0
    bench.fire("timeout", "b", 1)
    bench.tell(Left("b", 1, 1.0))
    bench.fire("left", "b", 1)
    assert bench.of(CloseQueue) == []
    bench.end("b", "stopped")
    assert len(bench.of(Retrying)) == 1


def test_the_next_attempt_reads_again():
    """That an attempt closed its stdin says nothing of the next one."""
    bench = Joined(fills(), reads(retry=AGAIN), reads(), processes=3)
    bench.tell(Left("b", 1, 0.0))
    bench.fire("left", "b", 1)
    bench.end("b", "failed", unread=True)
    bench.fire("retry", "b", 1)
    bench.end("c", unread=True)
    assert bench.of(CloseQueue) == []


def test_nobody_reads_when_the_last_that_did_has_ended():
    """A queue is closed when of several replicas one left and the others have ended."""
    bench = Joined(fills(), reads(replicas=2), processes=3)
    bench.tell(Left("b.0", 1, 0.0))
    bench.fire("left", "b.0", 1)
    assert bench.of(CloseQueue) == []
    bench.end("b.1", unread=True)
    assert bench.of(CloseQueue) == [CloseQueue("q", False)]


def test_who_left_and_is_stopped_names_the_run():
    """The cause of a failing pipeline that is stopped with the run does not name itself."""
    bench = Joined(fills(), reads(), rules=rule("fail"), processes=2)
    bench.tell(Left("b", 1, 0.0))
    bench.fire("left", "b", 1)
    bench.stop()
    bench.end("b", "stopped")
    assert bench.record[-1].error.message == "stopped with the run"


# Items, one by one


def streaming(*more, processes=3, **keys):
    """Return a bench: a publishes, b goes through it."""
    return Joined(fills(), goes_through(**keys), *more, processes=processes)


def items(*numbers):
    """Return the events of these items."""
    return [Arrived("b", number, str(number), 0.0) for number in numbers]


def test_items_are_taken_as_there_are_slots():
    """As many items are asked for as may start; each is an instance; the task ends after them."""
    bench = streaming()
    assert bench.of(Feed) == [Feed("b", 2)]
    bench.tell(*items(0, 1))
    assert bench.started == [("b.0", 1), ("b.1", 1)]
    bench.end("b.0")
    assert bench.of(Feed) == [Feed("b", 1)]
    bench.end("a")
    bench.tell(Drained("b", 2, 0.0))
    assert "b" in bench.states
    assert bench.of(Over) == []
    bench.end("b.1")
    assert bench.states["b"] == "succeeded"
    assert bench.of(Over) == [Over(("q",))]


def test_items_that_wait_are_counted():
    """An item that is looked at, or backs off, takes the room of another."""
    bench = streaming(when="?", retry=AGAIN)
    bench.tell(*items(0, 1))
    assert bench.of(Feed) == []
    bench.tell(Decided("b.0", True, 0.0))
    bench.end("b.0", "failed")
    assert bench.of(Feed) == []


def test_items_that_are_done_are_forgotten():
    """What is known of an item is let go of in a turn after its end."""
    bench = streaming()
    bench.tell(*items(0))
    bench.end("b.0")
    bench.tell()
    assert "b.0" not in bench.states
    assert bench.scheduler.counts["succeeded"] == 1


def test_an_item_that_fails_ends_nothing_yet():
    """A task that goes through a queue goes on after a failure, and has failed in the end."""
    bench = streaming()
    bench.tell(*items(0))
    bench.end("b.0", "failed")
    assert bench.of(Stop) == []
    bench.end("a")
    bench.tell(Drained("b", 1, 0.0))
    assert bench.states["b"] == "failed"
    assert bench.finished == ("failed", 1)


def with_letters(*more, **keys):
    """Return a bench as ``streaming`` does, where items that fail are set aside."""
    rules = {"q": {"dead_letter": "/dead"}}
    return Joined(fills(), goes_through(**keys), *more, rules=rules, processes=3)


def test_items_that_are_set_aside_fail_nothing():
    """With ``dead_letter`` an item that failed is kept, and the task counts as done."""
    bench = with_letters({"needs": ("b",)})
    bench.tell(*items(0))
    bench.end("b.0", "failed")
    assert bench.of(SetAside) == [SetAside("q", "b.0")]
    bench.end("a")
    bench.tell(Drained("b", 1, 0.0))
    assert bench.started == [("c", 1)]


def test_a_task_that_was_cut_off_is_not_done():
    """Who needs a task that was cut off does not start, though failed items are set aside."""
    bench = with_letters({"needs": ("b",)})
    bench.tell(*items(0))
    bench.end("b.0", "failed")
    bench.end("a", "failed")
    assert bench.states["b"] == "failed"
    assert bench.of(Skipped) == [Skipped("c", "what it needs failed", True, 0.0)]


# Threads that never return


def test_a_stuck_thread_does_not_hold_its_pipeline_for_ever():
    """A member whose next try waits for a stuck thread fails after a grace: the others wait."""
    bench = Joined(fills(), reads(mode="thread", retry=AGAIN), processes=1, threads=1)
    bench.end("b", "timed_out", left_running=True)
    assert bench.actions == [Arm(("held", "b", 1), 10.0)]
    bench.fire("held", "b", 1)
    assert bench.states["b"] == "failed"
    assert bench.of(Stop) == [Stop("a", 1, False)]


def test_a_thread_that_returns_in_time_is_tried_again():
    """A member is tried again when its stuck thread returns within the grace."""
    bench = Joined(fills(), reads(mode="thread", retry=AGAIN), processes=1, threads=1)
    bench.end("b", "timed_out", left_running=True)
    bench.tell(Returned("b", 1, 0.0))
    assert len(bench.of(Retrying)) == 1
    bench.fire("retry", "b", 1)
    bench.fire("held", "b", 1)
    assert bench.states["b"] == "running"


def test_members_that_wait_for_stuck_threads_end_once():
    """When a stall is over, those who were cancelled with their pipeline do not fail as well."""
    specs = (reads(mode="thread", retry=AGAIN, replicas=2), fills())
    bench = Joined(*specs, processes=1, threads=2)
    bench.end("b")
    for name in ("a.0", "a.1"):
        bench.end(name, "timed_out", left_running=True)
    bench.tell(Fired(bench.stall, 10.0))
    assert bench.states == {"a": "failed", "a.0": "failed", "a.1": "cancelled", "b": "succeeded"}
    assert bench.scheduler.unfinished == 0


def stranded():
    """Return a bench: one thread, two that are stuck, and an item that waits for another."""
    bench = Joined(fills(), goes_through(mode="thread"), processes=1, threads=1)
    for number in range(2):
        bench.tell(*items(number))
        bench.end(f"b.{number}", "timed_out", left_running=True)
    bench.tell(*items(2))
    return bench


def test_stuck_threads_are_not_replaced_without_end():
    """No item starts while more threads are stuck than there are slots; after a grace it fails."""
    bench = stranded()
    assert bench.actions == [Arm(("slot", "b", 1), 10.0)]
    bench.fire("slot", "b", 1)
    assert [event.error.message for event in bench.of(Ended)] == [
        "all 1 threads are stuck in other tasks"
    ]
    bench.tell(*items(3))
    assert [(event.task, event.outcome) for event in bench.of(Ended)] == [("b.3", "launch_failed")]


def test_a_thread_that_returns_gives_a_slot_back():
    """An item starts when one of the threads that are stuck has returned."""
    bench = stranded()
    bench.tell(Returned("b.0", 1, 0.0))
    assert bench.started == [("b.2", 1)]


def test_a_pipeline_that_fits_is_not_given_up():
    """When a stall is over a pipeline that waited for the slots of another starts."""
    first = [{"publish": "r", "mode": "process"}, {"consume": "r", "retry": AGAIN}]
    bench = Joined(*first, {"publish": "q"}, reads(), processes=2, threads=1)
    bench.end("a")
    bench.end("b", "timed_out", left_running=True)
    bench.tell(Fired(bench.stall, 10.0))
    assert bench.started == [("c", 1), ("d", 1)]


# Folding


def test_folding_knows_who_was_closed():
    """A publisher that failed and was not tried again, as nobody reads, is folded as failed."""
    bench = Joined(fills(retry=AGAIN), reads(), processes=2)
    bench.end("b", unread=True)
    bench.end("a", "failed")
    assert bench.states["a"] == "failed"
    assert bench.folded() == bench.states


def test_folding_drops_nobody():
    """That a member was skipped after its pipeline began is no reason to skip the others."""
    middle = reads("qa", publish="qb", items=[])
    bench = Joined(fills("qa"), middle, reads("qb"), processes=3)
    assert bench.states["a"] == "skipped"
    bench.end("c")
    assert bench.folded() == bench.states


def test_folding_cuts_off():
    """A task that was cut off with items under way is folded in the state of the worst of them."""
    bench = streaming()
    bench.tell(*items(0, 1))
    bench.end("a", "failed")
    bench.end("b.0")
    assert bench.folded()["b"] == bench.states["b"] == "waiting"
    bench.end("b.1", "failed")
    assert bench.folded()["b"] == bench.states["b"] == "cancelled"
