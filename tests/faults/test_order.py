"""The order in which the loop does things: recorded, then told and done; ended, then reaped."""

import os
import sys
from pathlib import Path
from queue import SimpleQueue

import pytest

from orchestrator import procfs
from orchestrator.clock import Clock
from orchestrator.engine import Engine
from orchestrator.events import Attempt, Ended, Started
from orchestrator.inbox import Inbox
from orchestrator.journal import Journal, Record, TaskRow
from orchestrator.plan.model import Plan, PlanTask
from orchestrator.plan.prepare import Preparer
from orchestrator.poller import Poller
from orchestrator.runners.children import Watcher, launch
from orchestrator.runners.fake import FakeRunner
from orchestrator.scheduler import Scheduler
from tests.builder import Builder


@pytest.mark.promise(2, 3)
def test_recorded_before_it_is_done(tmp_path: Path) -> None:
    """A runner hears of an attempt, and an observer of anything, only once it is in the journal."""
    plan = Plan("job", str(tmp_path), {})
    for order, name in enumerate("abc"):
        needs = ("abc"[order - 1],) if order else ()
        plan.tasks[name] = PlanTask(name, order, "thread", function="m:f", needs=needs)
    journal, clock, inbox = Journal(tmp_path), Clock(), Inbox()
    rows = [TaskRow(name, "thread", None, "") for name in plan.tasks]
    journal.begin(1, {"started_at": ""}, b"", rows)
    wrong: list[object] = []

    def recorded() -> list[object]:
        return list(Record(tmp_path).events())

    def script(attempt: Attempt) -> Ended:
        if not any(isinstance(e, Started) and e.task == attempt.task for e in recorded()):
            wrong.append(attempt)
        return Ended(attempt.task, attempt.number, "ok", clock.now(), output="null")

    class Watch:
        tick_s = None

        def told(self, events: list[object]) -> None:
            wrong.extend(event for event in events if event not in recorded())

        def tick(self) -> None:
            pass

    engine = Engine(
        plan,
        scheduler=Scheduler(plan, "run"),
        journal=journal,
        runners={"thread": FakeRunner(inbox.put, clock.now, script)},
        preparer=Preparer(
            root=str(tmp_path), folder=str(tmp_path), run_id="run", names={}, environment={},
            python=sys.executable, socket="",
        ),
        clock=clock,
        inbox=inbox,
        observers=[Watch()],
    )  # fmt: skip
    engine.prepare()
    assert engine.run().state == "succeeded"
    journal.close()
    assert wrong == []


@pytest.mark.promise(11)
def test_group_is_seen_to_before_the_reap(tmp_path: Path) -> None:
    """While its leader is a zombie nobody else can get the id of the group."""
    inbox = SimpleQueue()
    poller = Poller(inbox.put)
    watcher = Watcher(poller, lambda _: None, lambda *_: None)
    attempt = Attempt(
        "a", 1, "subprocess", None, [], {}, [], dict(os.environ), str(tmp_path),
        str(tmp_path / "out"), str(tmp_path / "err"), "", "file", (0,),
    )  # fmt: skip
    child = launch(attempt, ["true"])
    states: list[str] = []

    class Probe:
        def settle(self, leader: int) -> list[str]:
            states.append(procfs.stat(leader)[0])
            return []

    child._leftovers = Probe()
    watcher.watch(child, inbox.put)
    assert inbox.get(timeout=30)[:2] == (0, None)
    poller.close()
    watcher.close()
    assert states == ["Z"]


@pytest.mark.promise(10)
def test_attempt_ends_with_its_process(job: Builder) -> None:
    """A grandchild that holds the pipe of a queue open is not waited for."""
    gate = job.gate("gate")
    job.tasks(
        """
        give:
          mode: subprocess
          shell: true
          command: "seq 3; exec 3>&1; (setsid sh -c 'read x < gate') & true"
          leftovers: allow
          publish: q
        take: {mode: subprocess, command: [wc, -l], consume: q, output: json}
        """,
        head="queues: {q: {maxsize: 10}}",
    )
    running = job.start()
    assert running.wait_for("ended", task="take")["output"] == 3
    gate.open()
    assert running.finish().code == 0
