"""A pipeline that was cut off goes on from what was not delivered, where its queues tell that."""

import signal
from pathlib import Path

import pytest

from tests.builder import Builder

pytestmark = pytest.mark.promise(2)
COUNT = 200
MODULE = f"""
import os, time

def numbers():
    open("given", "a").write("x")
    yield from range({COUNT})

def double(items):
    for item in items:
        yield [item, 2 * item]

def keep(items):
    for item in items:
        if item[0] == 100 and not os.path.exists("flag"):
            open("gate", "w").write("x")
            time.sleep(60)
        with open("taken", "a") as file:
            print(*item, file=file)

def fails(items):
    for item in items:
        if item == 100 and not os.path.exists("flag"):
            open("hold").readline()
            raise ValueError(item)
        with open("taken", "a") as file:
            print(item, file=file)

def one(item):
    if item == 3 and not os.path.exists("flag"):
        raise ValueError(item)
    with open("taken", "a") as file:
        print(item, file=file)
    return item
"""
ALL = [f"{item} {2 * item}" for item in range(COUNT)]


def _taken(job: Builder) -> list[str]:
    return (job.root / "taken").read_text().splitlines()


def _given(job: Builder) -> int:
    return len((job.root / "given").read_text())


MIDDLE = {
    "thread": 'mode: thread, function: "m:double"',
    "process": 'mode: process, function: "m:double"',
    "program": "mode: subprocess, program: double.py, replicas: 2",
}


@pytest.mark.parametrize("middle", MIDDLE)
@pytest.mark.parametrize("end", ["thread", "process"])
@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGINT])
def test_goes_on_from_what_was_not_delivered(
    job: Builder, middle: str, end: str, kill: signal.Signals
) -> None:
    """Killed or stopped in the middle: who had published all does not run again; none is lost."""
    gate = job.gate("gate")
    job.module(MODULE)
    job.file(
        "double.py",
        """
        import json, sys
        for line in sys.stdin:
            print(json.dumps([int(line), 2 * int(line)]), flush=True)
        """,
    )
    job.tasks(
        f"""
        give: {{mode: thread, function: "m:numbers", publish: raw}}
        double: {{{MIDDLE[middle]}, consume: raw, publish: doubled}}
        keep: {{mode: {end}, function: "m:keep", consume: doubled, grace: 0.2}}
        """,
        head="queues: {raw: {delivery: at_least_once}, doubled: {delivery: at_least_once}}",
    )
    running = job.start()
    gate.wait()
    running.wait_for("ended", task="give")
    running.signal(kill)
    assert running.finish().code == -kill
    before = len(_taken(job))
    job.file("flag", "")
    done = job.orch("resume", "--json")
    assert done.code == 0, done.err
    assert _given(job) == 1
    assert done.tasks["give"]["attempts"] == 1
    taken = _taken(job)
    assert sorted(set(taken)) == sorted(ALL)
    if middle == end == "thread":
        # done is all before the one in hand; of a process orch knows that a little later
        assert len(taken) - len(ALL) <= 2
    assert before <= COUNT
    assert not list(job.runs()[-1].glob("*.items"))


def test_after_a_failure(job: Builder) -> None:
    """The item in hand is the first to be delivered again."""
    hold = job.gate("hold")
    job.module(MODULE)
    job.tasks(
        """
        give: {mode: subprocess, shell: true, command: "printf x >> given; seq 0 199", publish: q}
        take: {mode: thread, function: "m:fails", consume: q}
        """,
        head="queues: {q: {delivery: at_least_once}}",
    )
    running = job.start()
    running.wait_for("ended", task="give")
    hold.open()
    assert running.finish().code == 1
    job.file("flag", "")
    done = job.orch("resume", "--json")
    assert (done.code, _given(job)) == (0, 1)
    assert _taken(job) == [str(number) for number in range(COUNT)]
    assert done.document["queues"]["q"]["items_in"] == COUNT - 100


@pytest.mark.parametrize("delivery", ["at_least_once", "at_most_once"])
def test_an_attempt_an_item(job: Builder, delivery: str) -> None:
    """Of a ``foreach`` over a queue what succeeded is kept, item by item; or all of it is not."""
    job.module(MODULE)
    job.tasks(
        """
        give: {mode: subprocess, shell: true, command: "printf x >> given; seq 0 9", publish: q}
        each: {mode: process, function: "m:one", foreach: {queue: q}, args: ["{{ item }}"]}
        after: {mode: subprocess, command: [echo, "{{ tasks.each.output }}"], output: json}
        """,
        head=f"queues: {{q: {{delivery: {delivery}}}}}",
    )
    assert job.run().code == 1
    job.file("flag", "")
    done = job.orch("resume", "--json")
    assert done.code == 0, done.err
    once = delivery == "at_least_once"
    assert _given(job) == (1 if once else 2)
    assert sorted(done.tasks["after"]["output"]) == list(range(10))
    attempts = {one["output"]: one["attempts"] for one in done.tasks["each"]["instances"].values()}
    assert attempts[3] == 2
    if once:
        assert sorted(attempts.values()) == [1] * 9 + [2]
        assert sorted(map(int, _taken(job))) == list(range(10))


def test_changed_member_runs_all_of_it(job: Builder) -> None:
    """Where a member is not what it was the pipeline is run again as one."""
    job.module(MODULE)
    job.tasks(
        """
        give: {mode: subprocess, shell: true, command: "printf x >> given; seq 0 9", publish: q}
        each: {mode: thread, function: "m:one", foreach: {queue: q}, args: ["{{ item }}"]}
        """,
        head="queues: {q: {delivery: at_least_once}}",
    )
    assert job.run().code == 1
    job.file("flag", "")
    path = Path(job.root / "job.yaml")
    path.write_text(path.read_text().replace("seq 0 9", "seq 0 10"))
    done = job.orch("resume", "--json")
    assert (done.code, _given(job)) == (0, 2)
    assert sorted(done.tasks["each"]["output"]) == list(range(11))
