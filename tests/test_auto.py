"""``mode: auto``: decided from what was recorded, pinned, and told."""

import json

import pytest

from tests.builder import Builder

MODULE = """
    import time

    def burns():
        until = time.thread_time() + 0.12
        while time.thread_time() < until:
            pass
"""


@pytest.fixture
def auto(job: Builder) -> Builder:
    """Return a job whose functions are in each other's way, and whose mode is left open."""
    job.module(MODULE)
    job.tasks(
        "a: {mode: auto, function: 'm:burns', foreach: {i: [1, 2, 3, 4]}}",
        "limits: {processes: 4}",
    )
    return job


def _mode(job: Builder) -> tuple[str, str]:
    done = job.run("--json", "--log-format", "json")
    (said,) = [line for line in done.log if line["event"] == "mode chosen"]
    assert said["mode"] == done.tasks["a"]["mode"]
    return said["mode"], said["reason"]


def _lock(job: Builder, mode: str) -> None:
    """Pin *mode*, as if that had been decided."""
    path = job.root / ".orch" / "modes.lock"
    pinned = json.loads(path.read_text())
    pinned["job"]["a"]["mode"] = mode
    path.write_text(json.dumps(pinned))


def test_decided_and_pinned(auto: Builder) -> None:
    """A thread at first; then what the record says, for as long as the task is what it was."""
    assert _mode(auto) == ("thread", "nothing is known of it yet")
    assert not (auto.root / ".orch" / "modes.lock").exists()
    mode, reason = _mode(auto)
    assert "the job" in reason
    other = "thread" if mode == "process" else "process"
    _lock(auto, other)
    assert _mode(auto)[0] == other
    auto.module(MODULE + "\n    changed = True\n")
    assert _mode(auto) == ("thread", "nothing is known of it yet")


def test_resume_keeps_the_mode(auto: Builder) -> None:
    """A run goes on with the modes that it began with."""
    auto.run()
    auto.run()
    auto.tasks(
        """
        a: {mode: auto, function: 'm:burns', foreach: {i: [1, 2, 3, 4]}}
        b: {mode: subprocess, command: [test, -e, there], needs: [a]}
        """,
        "limits: {processes: 4}",
    )
    _lock(auto, "process")
    assert auto.run().code == 1
    _lock(auto, "thread")
    auto.file("there", "")
    resumed = auto.orch("resume", "--json")
    assert resumed.code == 0
    assert resumed.tasks["a"]["mode"] == "process"


def test_plan_shows_auto(auto: Builder) -> None:
    """What a plan cannot know it does not say."""
    assert auto.orch("plan", "job.yaml", "--json").tasks["a"]["mode"] == "auto"
    assert auto.orch("check", "job.yaml").code == 0


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ("mode: auto, command: ['true']", "`command` goes with mode `subprocess`"),
        ("mode: auto, function: 'm:burns', env: {A: b}", "`env` goes with mode"),
        ("mode: auto, function: 'm:burns', foreach: {queue: q}", "does not go with queues"),
    ],
)
def test_mistakes(auto: Builder, task: str, said: str) -> None:
    """Only a function that could be either may leave it open."""
    auto.write(f"queues: {{q: {{}}}}\ntasks:\n  a: {{{task}}}\n")
    done = auto.run()
    assert done.code == 3
    assert said in done.err


@pytest.mark.parametrize("text", ["not json", "[]", '{"job": 1}'])
def test_a_lock_that_is_damaged(auto: Builder, text: str) -> None:
    """What cannot be believed is named, and not overwritten."""
    auto.run()
    (auto.root / ".orch" / "modes.lock").write_text(text)
    done = auto.run()
    assert done.code == 4
    assert "modes.lock" in done.err
    assert (auto.root / ".orch" / "modes.lock").read_text() == text


@pytest.mark.parametrize("text", ['{"job": {"a": "thread"}}', '{"job": {"a": {"mode": 1}}}', "[]"])
def test_lock_of_another_shape(auto: Builder, text: str) -> None:
    """What orch has not written is refused by name."""
    auto.run()
    (auto.root / ".orch" / "modes.lock").write_text(text)
    done = auto.run()
    assert done.code == 4
    assert "modes.lock is not what orch has written; remove it" in done.err


def test_advice_knows_the_pin(auto: Builder) -> None:
    """A task that leaves its mode open is judged by the mode that it has."""
    auto.run()
    auto.run()
    for mode in ("thread", "process"):
        _lock(auto, mode)
        done = auto.orch("advise", "job.yaml", "--json")
        assert done.tasks["a"]["mode"] == mode
        assert f"auto ({mode})" in auto.orch("advise", "job.yaml").out


def test_what_has_failed_as_a_thread(auto: Builder) -> None:
    """It is a process from then on: it may be at home there."""
    auto.module("import signal\ndef f(): signal.signal(signal.SIGUSR1, signal.SIG_IGN)\n", "hears")
    auto.tasks("a: {mode: auto, function: 'hears:f'}")
    assert _mode(auto) == ("thread", "nothing is known of it yet")
    mode, reason = _mode(auto)
    assert mode == "process"
    assert reason.startswith("as `thread` it failed: ValueError: signal only works in main thread")
    done = auto.run("--json")
    assert (done.code, done.tasks["a"]["mode"]) == (0, "process")
