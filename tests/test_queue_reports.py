"""What people and programs are told of queues."""

import json
import re

import pytest

from orchestrator import QueueResult, run_job
from orchestrator.report.bottleneck import bottleneck, in_words
from tests.builder import Builder

MODULE = """
import time

def numbers(count):
    yield from range(count)

def slowly(items):
    for item in items:
        time.sleep(0.02)  # the work
        yield item

def count(items):
    return sum(1 for _ in items)
"""
JOB = """
give: {mode: thread, function: "m:numbers", args: [60], publish: a}
work: {mode: thread, function: "m:slowly", consume: a, publish: b}
take: {mode: thread, function: "m:count", consume: b}
"""
HEAD = "queues: {a: {maxsize: 5}, b: {maxsize: 5}}"


def joined(full: float, empty: float, publisher: str, consumer: str) -> dict[str, object]:
    """Return what the document says of a queue."""
    return {"full": full, "empty": empty, "publishers": [publisher], "consumers": [consumer]}


@pytest.mark.parametrize(
    ("queues", "said"),
    [
        (
            {"a": joined(0.93, 0.0, "find", "measure"), "b": joined(0.0, 0.9, "measure", "total")},
            "`measure` is the bottleneck: `a` was full 93% of the time",
        ),
        (
            {"a": joined(0.9, 0.0, "find", "measure"), "b": joined(0.8, 0.0, "measure", "total")},
            "`total` is the bottleneck: `b` was full 80% of the time",
        ),
        (
            {"a": joined(0.0, 0.97, "find", "measure"), "b": joined(0.0, 0.98, "measure", "total")},
            "`find` is the bottleneck: `a` was empty 97% of the time",
        ),
        ({"a": joined(0.1, 0.1, "find", "measure")}, None),
        ({}, None),
        ({"a": {**joined(0, 0, "find", "measure"), "full": None, "empty": None}}, None),
    ],
)
def test_bottleneck(queues: dict[str, dict[str, object]], said: str | None) -> None:
    """It is the task with a full queue before it and none behind it, or the slow source."""
    found = bottleneck(queues)
    assert (None if found is None else in_words(found)) == said


def test_show(job: Builder) -> None:
    """``show`` has a line a queue, and names the bottleneck."""
    job.module(MODULE)
    job.tasks(JOB, HEAD)
    assert job.run().code == 0
    shown = job.orch("show").out
    assert re.search(
        r"^QUEUE +IN +OUT +DEEPEST +FULL +EMPTY +BLOCKED +STARVED$", shown, re.MULTILINE
    )
    assert re.search(r"^a +60 +60 +5 .* give -> work$", shown, re.MULTILINE)
    assert re.search(
        r"^`work` is the bottleneck: `a` was full \d+% of the time$", shown, re.MULTILINE
    )


def test_document(job: Builder) -> None:
    """``--json`` counts, in seconds too; ``show --json`` prints the same."""
    job.module(MODULE)
    job.tasks(JOB, HEAD)
    document = job.run("--json").document
    queue = document["queues"]["a"]
    assert (queue["items_in"], queue["items_out"], queue["depth_max"]) == (60, 60, 5)
    assert queue["direct"] is False
    assert queue["publishers_blocked_s"] > 0.5
    assert document["queues"]["b"]["consumers_starved_s"] > 0.5
    assert document["bottleneck"]["task"] == "work"
    assert json.loads(job.orch("show", "--json").out) == document


def test_queue_of_a_pipeline_that_was_skipped(job: Builder) -> None:
    """Nothing went through it, and that is what is told."""
    job.module(MODULE)
    job.tasks(JOB.replace("args: [60]", "args: [60], when: false"), HEAD)
    queue = job.run("--json").document["queues"]["a"]
    assert (queue["items_in"], queue["items_out"], queue["depth_max"]) == (0, 0, 0)


def test_queues_of_a_run_that_is_under_way(job: Builder) -> None:
    """``show`` from another shell sees what went through by now."""
    gate = job.gate("gate")
    job.module(MODULE + "\ndef wait(items, gate):\n    next(items)\n    open(gate, 'rb').read(1)\n")
    job.tasks(
        f"""
        give: {{mode: thread, function: "m:numbers", args: [60], publish: a}}
        take: {{mode: thread, function: "m:wait", args: ["{gate.path}"], consume: a}}
        """,
        HEAD.replace(", b: {maxsize: 5}", ""),
    )
    running = job.start()
    measured = running.wait_for("measured", queue="a", over=False)
    assert (measured["items_in"], measured["depth"]) == (6, 5)
    shown = json.loads(job.orch("show", "--json").out)
    assert (shown["state"], shown["queues"]["a"]["depth"]) == ("running", 5)
    gate.open()
    assert running.finish().code == 0


def test_events(job: Builder) -> None:
    """Items that become attempts, and what a queue saw in the end, are events."""
    job.tasks(
        """
        give: {mode: subprocess, command: [seq, "2"], publish: q}
        each: {mode: subprocess, command: [test, "{{ item }}"], foreach: {queue: q}}
        """,
        "queues: {q: {}}",
    )
    events = job.run("--events").events
    arrived = [(e["task"], e["number"], e["item"]) for e in events if e["event"] == "arrived"]
    assert arrived == [("each", 0, 1), ("each", 1, 2)]
    assert [e["items"] for e in events if e["event"] == "drained"] == [2]
    measured = [e for e in events if e["event"] == "measured"]
    assert (measured[-1]["queue"], measured[-1]["items_out"], measured[-1]["over"]) == (
        "q",
        2,
        True,
    )


def test_log_names_the_bottleneck(job: Builder) -> None:
    """A run that lasts says at its end what held it up."""
    job.module(MODULE)
    job.tasks(JOB, HEAD)
    lines = job.run("--log-format", "json").log
    found = next(line for line in lines if line["event"] == "bottleneck")
    assert (found["task"], found["queue"]) == ("work", "a")


def test_python(job: Builder) -> None:
    """``run_job`` gives queues as typed results."""
    job.module(MODULE, "queue_results")
    job.tasks(JOB.replace("m:", "queue_results:"), HEAD)
    result = run_job(job.root / "job.yaml")
    assert isinstance(result.queues["a"], QueueResult)
    assert (result.queues["a"].items_out, result.tasks["take"].output) == (60, 60)
    assert result.bottleneck is not None
    assert result.bottleneck["task"] == "work"
