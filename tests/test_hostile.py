"""What tasks do to orch, on purpose or not, is theirs: the run ends, and says how it went."""

import pytest

from tests.builder import Builder

MODULE = """
import json, os, signal, socket, sys
from orchestrator import task
from orchestrator.current import connect

def lies():
    # datagrams that are not what `task` sends
    mine = {"task": os.environ["ORCH_TASK"], "attempt": 1, "data": {}}
    messages = [
        b"", b"\\xff", b"[" * 10000, b"[]", b"1",
        *(json.dumps({**mine, **odd}).encode() for odd in (
            {"kind": "log", "attempt": "abc"}, {"kind": "log", "attempt": [1]},
            {"kind": "log", "attempt": 10**30},
            {"kind": "log", "data": {"level": {}, "event": [1]}},
            {"kind": "log", "data": {"self": 1, "task": 2, "a b": 3, "event": "x"}},
            {"kind": "progress", "data": {"done": "x", "total": []}},
            {"kind": "progress", "data": {"done": 10**400, "total": 1}},
            {"kind": "else"}, {"task": "nobody", "kind": "log"},
        )),
    ]
    speaker = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    connect(speaker, os.environ["ORCH_SOCKET"])  # a path of any length
    for message in messages:
        speaker.send(message)

def odd_words():
    task.progress(float("nan"), float("inf"))
    task.progress(5, 3)
    names = {"a b": object(), "run": "other", "task": "zz", "self": 10**5000}
    task.log.info("x\\n\\x1b[31m", **names)

def closes_streams():
    sys.stdout.close()
    sys.stderr = None

def closes_descriptors():
    os.close(1)
    os.close(2)

def forks():
    return "child" if os.fork() == 0 else "parent"

def ignores_signals():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
"""
PROCESS = ["lies", "odd_words", "closes_streams", "closes_descriptors", "forks", "ignores_signals"]


@pytest.mark.parametrize("mode", ["process", "thread"])
def test_the_run_ends_and_all_is_told(job: Builder, mode: str) -> None:
    """None of it hangs orch, ends it, or fails another task."""
    names = PROCESS if mode == "process" else ["odd_words", "forks"]
    job.module(MODULE)
    tasks = "\n".join(f"{name}: {{mode: {mode}, function: 'm:{name}'}}" for name in names)
    job.tasks(tasks, "timeout: 20")
    done = job.run("--json", "--log-format", "json")
    assert {name: task["error"] for name, task in done.tasks.items() if task["error"]} == {}
    assert done.code == 0
    assert done.log[-1]["event"] == "run succeeded"


def test_a_thread_may_ruin_what_is_shared(job: Builder) -> None:
    """Without a path to import from, orch still ends what it has begun."""
    job.module("import sys\n\ndef f():\n    sys.path.clear()\n    sys.modules.pop('json', None)\n")
    job.tasks("""
        a: {mode: thread, function: 'm:f'}
        b: {mode: subprocess, command: [echo, hi], output: stdout, needs: [a]}
    """, "timeout: 20")  # fmt: skip
    assert job.run("-q").code == 0


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("mkfifo $ORCH_OUTPUT", "its output is not a regular file"),
        ("mkdir $ORCH_OUTPUT", "its output is not a regular file"),
        ("ln -s /etc/passwd $ORCH_OUTPUT", "its output cannot be read: Too many levels"),
        ("head -c 2000000 /dev/zero > $ORCH_OUTPUT", "output is larger than"),
        ("printf '\\377' > $ORCH_OUTPUT", "output is not JSON"),
    ],
    ids=["pipe", "directory", "link", "huge", "binary"],
)
def test_an_output_that_is_not_one(job: Builder, command: str, said: str) -> None:
    """Whatever stands at ``$ORCH_OUTPUT``, the task fails, says why, and holds up nothing."""
    job.tasks(f"a: {{mode: subprocess, shell: true, command: {command!r}}}", "timeout: 20")
    done = job.run("--json")
    assert done.code == 1
    assert done.tasks["a"]["error"]["message"].startswith(said)


def test_a_forked_child_does_not_hold_up_the_end(job: Builder) -> None:
    """What a thread forked may live on; orch ends with its run."""
    gate = job.gate("gate.on")
    job.module("import os\n\ndef f():\n    if os.fork() == 0:\n        open('gate.on').read()\n")
    job.tasks("a: {mode: thread, function: 'm:f'}")
    # it keeps orch's own stdout and stderr, so nobody is to wait for their end
    done = job.shell("orch run job.yaml -q > /dev/null 2>&1")
    gate.open()
    assert done.code == 0


def test_events_stay_json(job: Builder) -> None:
    """What a task says of itself cannot break the lines of ``--events``."""
    job.module(MODULE)
    job.tasks("a: {mode: thread, function: 'm:odd_words'}")
    kinds = [event["event"] for event in job.run("--events").events]
    assert kinds == ["started", "noted", "noted", "noted", "ended", "finished"]
