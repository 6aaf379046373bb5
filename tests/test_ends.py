"""How tasks end, and what follows for others: conditions, failures, tries, times, instances."""
# ruff: noqa: SIM300 - expected == actual

import re
import time
from typing import Any

import pytest

from tests.builder import Builder

MODULE = """
import os, time
from orchestrator import task

def value(x=1): return x
def bad(): raise ValueError("no")
def third():
    if task.attempt < 3: raise ValueError("not yet")
    return task.attempt
def stuck():
    open("came", "w").write("x")
    os.read(os.open("gate", os.O_RDONLY), 1)
def polite():
    while not task.cancelled: time.sleep(0.005)
    return "late result"
"""
OK, BAD = "mode: subprocess, command: ['true']", "mode: subprocess, command: ['false']"
# One run, looked at by many tests: the name says what the task is about.
MANY = f"""
ok: {{{OK}}}
bad: {{{BAD}}}
idle: {{{OK}, when: false}}
allowed: {{{BAD}, allow_failure: true}}

after_ok: {{{OK}, needs: [ok]}}
after_bad: {{{OK}, needs: [bad]}}
after_skipped_for_failure: {{{OK}, needs: [after_bad]}}
after_idle: {{{OK}, needs: [idle]}}
after_allowed: {{{OK}, needs: [allowed]}}
after_both: {{{OK}, needs: [ok, bad]}}

failed_of_ok: {{{OK}, needs: [ok], run_when: failed}}
failed_of_bad: {{{OK}, needs: [ok, bad], run_when: failed}}
failed_of_skipped: {{{OK}, needs: [after_bad], run_when: failed}}
failed_of_idle: {{{OK}, needs: [idle], run_when: failed}}
failed_of_allowed: {{{OK}, needs: [allowed], run_when: failed}}

always_of_bad: {{{OK}, needs: [bad], run_when: always}}
always_of_idle: {{{OK}, needs: [idle], run_when: always}}
always_of_skipped: {{{OK}, needs: [after_bad], run_when: always}}

number: {{mode: thread, function: "m:value", args: [3]}}
when_true: {{{OK}, when: "{{{{ tasks.number.output > 2 }}}}"}}
when_false: {{{OK}, when: "{{{{ tasks.number.output > 3 }}}}"}}
when_text: {{{OK}, when: "{{{{ 'no' }}}}"}}
when_param: {{{OK}, when: "{{{{ params.on }}}}"}}
null_of_failed: {{mode: thread, function: "m:value", args: ["{{{{ tasks.allowed.output }}}}"]}}
late_error: {{mode: thread, function: "m:value", args: ["{{{{ tasks.number.output.a.b }}}}"],
             retry: {{attempts: 3, delay: 0}}}}

third: {{mode: thread, function: "m:third", retry: {{attempts: 3, delay: 0}}}}
third_short: {{mode: process, function: "m:third", retry: {{attempts: 2, delay: 0}}}}
retry_number: {{{BAD}, retry: 0}}
retry_launch: {{mode: subprocess, command: [/no/such], retry: {{attempts: 2, delay: 0}}}}
retry_time: {{mode: subprocess, command: [sleep, '60'], timeout: 0.1,
             retry: {{attempts: 2, delay: 0}}}}

each: {{mode: thread, function: "m:value", args: ["{{{{ item }}}}"], foreach: [a, 2, null]}}
product: {{mode: thread, function: "m:value", args: ["{{{{ item.x }}}}-{{{{ item.y }}}}"],
          foreach: {{x: [1, 2], y: [a, b]}}}}
source: {{mode: thread, function: "m:value", args: [[5, 6, 7]]}}
dynamic: {{mode: process, function: "m:value", args: ["{{{{ item }}}}"],
          foreach: "{{{{ tasks.source.output }}}}"}}
of_dynamic: {{mode: thread, function: "m:value", args: ["{{{{ tasks.dynamic.output }}}}"]}}
empty: {{{BAD}, foreach: []}}
after_empty: {{mode: thread, function: "m:value", args: ["{{{{ tasks.empty.output }}}}"]}}
none: {{mode: thread, function: "m:value", args: [[]]}}
dynamic_empty: {{{BAD}, foreach: "{{{{ tasks.none.output }}}}"}}
dynamic_wrong: {{{OK}, foreach: "{{{{ tasks.number.output }}}}"}}
some_bad: {{mode: subprocess, shell: true, command: "exit $1", args: ["{{{{ item }}}}"],
           foreach: ["0", "4", "0"]}}
some_tries: {{mode: thread, function: "m:third", foreach: [1, 2],
             retry: {{attempts: 3, delay: 0}}}}
after_some_bad: {{{OK}, needs: [some_bad]}}
some_idle: {{mode: thread, function: "m:value", args: ["{{{{ item }}}}"],
            foreach: [1, 2, 3], when: "{{{{ item != 2 }}}}"}}
"""
STATES = {
    "allowed": "failed",
    "after_ok": "succeeded",
    "after_bad": "skipped",
    "after_skipped_for_failure": "skipped",
    "after_idle": "skipped",
    "after_allowed": "succeeded",
    "after_both": "skipped",
    "failed_of_ok": "skipped",
    "failed_of_bad": "succeeded",
    "failed_of_skipped": "succeeded",
    "failed_of_idle": "skipped",
    "failed_of_allowed": "skipped",
    "always_of_bad": "succeeded",
    "always_of_idle": "succeeded",
    "always_of_skipped": "succeeded",
    "when_true": "succeeded",
    "when_false": "skipped",
    "when_text": "failed",
    "when_param": "skipped",
    "after_some_bad": "skipped",
    "dynamic_wrong": "failed",
    "some_bad": "failed",
    "empty": "succeeded",
    "dynamic_empty": "succeeded",
    "some_idle": "succeeded",
}
OUTPUTS = {
    "null_of_failed": None,
    "each": ["a", 2, None],
    "product": ["1-a", "1-b", "2-a", "2-b"],
    "dynamic": [5, 6, 7],
    "of_dynamic": [5, 6, 7],
    "empty": [],
    "after_empty": [],
    "dynamic_empty": [],
    "third": 3,
    "some_tries": [3, 3],
    "some_idle": [1, None, 3],
}
# attempts and outcome
TRIES = {
    "third": (3, "ok"),
    "third_short": (2, "failed"),
    "retry_number": (1, "failed"),
    "retry_launch": (2, "launch_failed"),
    "retry_time": (2, "timed_out"),
    "late_error": (1, "launch_failed"),
    "some_tries": (6, "ok"),
    "after_bad": (0, None),
}


@pytest.fixture(scope="module")
def ends(shared_job: Builder) -> dict[str, Any]:
    """Run ``MANY`` once and return its tasks."""
    shared_job.module(MODULE)
    shared_job.tasks(MANY, "params: {on: {type: bool, default: false}}\nlimits: {processes: 4}")
    done = shared_job.run("--json", "-q")
    assert 1 == done.code
    return done.tasks


@pytest.mark.parametrize("name", STATES)
def test_state(ends: dict[str, Any], name: str) -> None:
    """``run_when``, ``when`` and ``allow_failure`` decide who runs after what."""
    assert STATES[name] == ends[name]["state"]


@pytest.mark.parametrize("name", OUTPUTS)
def test_output(ends: dict[str, Any], name: str) -> None:
    """Outputs of instances are a list in order; a template over another's output keeps its type."""
    assert OUTPUTS[name] == ends[name]["output"]


@pytest.mark.parametrize("name", TRIES)
def test_attempts(ends: dict[str, Any], name: str) -> None:
    """Failures, timeouts and failed launches are tried again; an error in a template is not."""
    assert TRIES[name] == (ends[name]["attempts"], ends[name]["outcome"])


def test_instances_are_listed(ends: dict[str, Any]) -> None:
    """The whole has the worst state and its instances, each with its own end."""
    whole = ends["some_bad"]
    assert {"some_bad.0": 0, "some_bad.1": 4, "some_bad.2": 0} == {
        name: one["exit_status"] for name, one in whole["instances"].items()
    }
    assert ("failed", "exit status 4") == (whole["outcome"], whole["error"]["message"])
    assert whole["instances"]["some_bad.1"]["stdout"].endswith("/some_bad.1.1.out")


def test_timeout_is_told(ends: dict[str, Any]) -> None:
    """An attempt whose time was up has the error type ``Timeout``."""
    assert "Timeout" == ends["retry_time"]["error"]["type"]


# Exit code


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (f"a: {{{BAD}, allow_failure: true}}", 0),
        (f"a: {{{OK}, when: false}}\nb: {{{OK}, needs: [a]}}", 0),
        (f"a: {{{OK}}}\nb: {{{OK}, needs: [a], run_when: failed}}", 0),
        (f"a: {{{BAD}}}\nb: {{{OK}, needs: [a], run_when: failed}}", 1),
    ],
    ids=["allowed", "when", "nothing failed", "handled"],
)
def test_exit_code(job: Builder, text: str, code: int) -> None:
    """Skips without a failure and failures that are allowed cost nothing; others do."""
    job.tasks(text)
    assert code == job.run().code


# Retry


def test_retry_waits_in_between(job: Builder) -> None:
    """``retry: {delay, backoff}``: the delays grow, and are told."""
    job.tasks(f"""
        a: {{{BAD}, retry: {{attempts: 3, delay: 0.05, backoff: 4, jitter: false}}}}
        b: {{{BAD}, retry: {{attempts: 3, delay: 0.05, backoff: 4, jitter: false, max_delay: 0.1}}}}
    """)
    events = job.run("--events").events
    delays = {n: [e["delay_s"] for e in events if (e["event"], e.get("task")) == ("retrying", n)]
              for n in "ab"}  # fmt: skip
    assert {"a": [0.05, 0.2], "b": [0.05, 0.1]} == delays
    started = [e["at"] for e in events if (e["event"], e.get("task")) == ("started", "a")]
    assert started[2] - started[0] >= 0.25


def test_retry_as_a_number_is_that_many_more(job: Builder) -> None:
    """``retry: 1`` is two tries; each has files of its own."""
    job.tasks("a: {mode: subprocess, shell: true, command: 'echo $ORCH_ATTEMPT; exit 1', retry: 1}")
    assert 2 == job.run("--json").tasks["a"]["attempts"]
    assert ("1\n", "2\n") == (job.written("a.1.out"), job.written("a.2.out"))


def test_summary_names_the_attempt(job: Builder) -> None:
    """The summary says on which attempt of how many a task failed."""
    job.tasks(f"a: {{{BAD}, retry: {{attempts: 2, delay: 0}}}}")
    assert "task `a` failed on attempt 2 of 2: exit status 1" in job.run().err


# Timeouts and what is left


@pytest.mark.promise(12)
def test_timeout_of_a_process_that_ignores_term(job: Builder) -> None:
    """TERM at the timeout, KILL after the grace: nobody stays."""
    job.module("import signal, time\ndef f():\n    signal.signal(15, signal.SIG_IGN)\n"
               "    time.sleep(60)")  # fmt: skip
    job.tasks("""
        a: {mode: subprocess, shell: true, command: "trap '' TERM; sleep 60"}
        b: {mode: process, function: "m:f"}
    """, "defaults: {timeout: 0.5, grace: 0.1}\nlimits: {processes: 2}")  # fmt: skip
    tasks = job.run("--json").tasks
    assert [("timed_out", 9, "Timeout")] * 2 == [
        (task["outcome"], task["signal"], task["error"]["type"]) for task in tasks.values()
    ]


@pytest.mark.promise(12)
def test_timeout_reaches_a_stopped_process(job: Builder) -> None:
    """A child that was stopped gets CONT, too, so that TERM can end it."""
    job.tasks("a: {mode: subprocess, shell: true, command: 'kill -STOP $$', timeout: 0.2}")
    assert ("timed_out", 15) == tuple(
        job.run("--json").tasks["a"][key] for key in ("outcome", "signal")
    )


@pytest.mark.promise(24)
def test_lines_before_a_kill_are_kept(job: Builder) -> None:
    """A program that is killed loses no line that it printed."""
    job.file("prog.py", "import time\nfor n in range(1000): print(n)\ntime.sleep(60)")
    job.tasks("a: {mode: subprocess, program: prog.py, timeout: 1, grace: 0}")
    job.run()
    assert [str(n) for n in range(1000)] == job.written("a.1.out").split()


def test_thread_that_listens_is_timed_out(job: Builder) -> None:
    """A thread that heeds its token ends by itself; what it returns then does not count."""
    job.module(MODULE)
    job.tasks("a: {mode: thread, function: 'm:polite', timeout: 0.1}")
    task = job.run("--json").tasks["a"]
    assert ("failed", "timed_out", None) == (task["state"], task["outcome"], task["output"])
    assert ("Timeout", "timed out after 0.1 s") == (task["error"]["type"], task["error"]["message"])


@pytest.mark.promise(21)
def test_stuck_thread_is_given_up_and_named(job: Builder) -> None:
    """A thread that does not listen is given up and named with its line; orch ends all the same."""
    job.module(MODULE)
    job.gate("came")
    job.gate("gate")
    job.tasks("a: {mode: thread, function: 'm:stuck', timeout: 0.1, grace: 0.1}")
    before = time.monotonic()
    done = job.run()
    assert time.monotonic() - before < 10
    assert 1 == done.code
    assert re.search(r'the thread of task `a` still runs: File ".*m\.py", line \d+', done.err)


def test_given_up_thread_holds_no_slot(job: Builder) -> None:
    """With one slot for threads the next task runs although the first one is stuck."""
    job.module(MODULE)
    job.gate("came")
    job.gate("gate")
    job.tasks("""
        a: {mode: thread, function: "m:stuck", timeout: 0.1, grace: 0}
        b: {mode: thread, function: "m:value"}
    """, "limits: {threads: 1}")  # fmt: skip
    tasks = job.run("--json").tasks
    assert ("timed_out", "ok") == (tasks["a"]["outcome"], tasks["b"]["outcome"])


def test_stuck_thread_is_not_tried_again_while_it_runs(job: Builder) -> None:
    """The next try waits until the given-up thread has returned."""
    job.module(MODULE)
    came, gate = job.gate("came"), job.gate("gate")
    job.tasks("a: {mode: thread, function: 'm:stuck', timeout: 1, grace: 0, "
              "retry: {attempts: 2, delay: 0}}")  # fmt: skip
    running = job.start()
    came.wait()
    assert running.wait_for("ended")["left_running"]
    gate.open()
    running.finish()
    assert ["started", "ended", "returned"] == running.finish().kinds("a")[:3]


@pytest.mark.promise(21)
def test_stuck_thread_with_tries_left_does_not_hold_up_orch(job: Builder) -> None:
    """A thread that never returns does not keep orch from ending, ``retry`` or not."""
    job.module(MODULE)
    job.gate("came")
    job.gate("gate")
    job.tasks("a: {mode: thread, function: 'm:stuck', timeout: 0.1, grace: 0.1, "
              "retry: {attempts: 2, delay: 0}}", "timeout: 20\ngrace: 0.2")  # fmt: skip
    assert 1 == job.run().code  # 124: only the run's own timeout ended it


@pytest.mark.promise(29)
def test_timeout_of_the_run_stops_all(job: Builder) -> None:
    """The run's timeout sends TERM, cancels what waits, still cleans up, and leaves with 124."""
    job.tasks(f"""
        a: {{mode: subprocess, command: [sleep, '60']}}
        b: {{{OK}, needs: [a]}}
        c: {{mode: subprocess, command: [touch, cleaned], needs: [a], run_when: always}}
    """, "timeout: 0.2")  # fmt: skip
    done = job.run("--json")
    assert 124 == done.code
    assert ["cancelled", "cancelled", "succeeded"] == [t["state"] for t in done.tasks.values()]
    assert (job.root / "cleaned").exists()


@pytest.mark.promise(29)
def test_cleanup_has_one_grace(job: Builder) -> None:
    """What cleans up after a stop is killed when its grace is over."""
    job.tasks("""
        a: {mode: subprocess, command: [sleep, '60']}
        b: {mode: subprocess, command: [sleep, '60'], needs: [a], run_when: always}
    """, "timeout: 0.2\ngrace: 0.3")  # fmt: skip
    done = job.run("--json")
    assert (124, "stopped") == (done.code, done.tasks["b"]["outcome"])


@pytest.mark.promise(10)
def test_grandchild_that_holds_the_output_does_not_hang(job: Builder) -> None:
    """An attempt ends when its process does, whoever still has its stdout open."""
    job.module("import subprocess\ndef f(): subprocess.Popen(['sleep', '60'])")
    job.tasks("""
        a: {mode: subprocess, shell: true, command: "sleep 60 & echo done", output: stdout}
        b: {mode: process, function: "m:f"}
    """)
    tasks = job.run("--json").tasks
    assert ("done", "ok", "ok") == (
        tasks["a"]["output"], tasks["a"]["outcome"], tasks["b"]["outcome"],
    )  # fmt: skip
    assert max(task["duration_s"] for task in tasks.values()) < 20


@pytest.mark.promise(11)
def test_group_is_killed_with_its_leader(job: Builder) -> None:
    """Children that ignore TERM and HUP are gone before the next task starts."""
    job.file("alive.sh", 'kill -0 "$(cat pid)" 2>/dev/null && grep -v Z "/proc/$(cat pid)/stat"; :')
    job.tasks("""
        a: {mode: subprocess, shell: true,
            command: "(trap '' TERM HUP; exec sleep 60) & echo $! > pid"}
        b: {mode: subprocess, command: [sh, alive.sh], needs: [a], output: stdout}
    """)
    tasks = job.run("--json").tasks
    assert ("ok", "") == (tasks["a"]["outcome"], tasks["b"]["output"])


@pytest.mark.promise(11, 12)
def test_group_is_killed_at_a_timeout(job: Builder) -> None:
    """At a timeout the whole group gets TERM, not its leader alone."""
    job.tasks("""
        a: {mode: subprocess, shell: true, timeout: 0.5, grace: 20,
            command: "(trap 'echo told; exit' TERM; sleep 60 & wait) & wait; wait"}
    """)
    assert "timed_out" == job.run("--json").tasks["a"]["outcome"]


# Order


def test_priority_then_file_order(job: Builder) -> None:
    """With one slot the higher priority starts first, then who stands first in the file."""
    job.tasks(f"a: {{{OK}}}\nb: {{{OK}}}\nc: {{{OK}, priority: 1}}", "limits: {processes: 1}")
    events = job.run("--events").events
    assert ["c", "a", "b"] == [e["task"] for e in events if e["event"] == "started"]


def test_no_level_barriers(job: Builder) -> None:
    """A task starts when its own needs have ended, not when all of their level have."""
    job.gate("gate")
    job.tasks("""
        slow: {mode: subprocess, shell: true, command: "read x < gate"}
        quick: {mode: subprocess, command: ['true']}
        after: {mode: subprocess, shell: true, command: "echo > gate", needs: [quick]}
    """, "limits: {processes: 2}")  # fmt: skip
    assert 0 == job.run().code


def test_limits_are_kept(job: Builder) -> None:
    """No more attempts run at once than there are slots, in both kinds of process together."""
    job.module(MODULE)
    job.tasks(f"""
        a: {{mode: process, function: "m:value", foreach: [1, 2, 3]}}
        b: {{{OK}, foreach: [1, 2, 3]}}
    """, "limits: {processes: 2}")  # fmt: skip
    running, most = 0, 0
    for event in job.run("--events").events:
        running += {"started": 1, "ended": -1}.get(event["event"], 0)
        most = max(most, running)
    assert 2 == most
