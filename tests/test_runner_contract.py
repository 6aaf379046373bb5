"""What every runner keeps to, the fake one included."""
# ruff: noqa: SIM300 - expected == actual

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from orchestrator import meter
from orchestrator.events import Attempt, Ended, Failure, Noted, Returned
from orchestrator.plan.model import INSIDE, Plan
from orchestrator.poller import Poller
from orchestrator.queues.registry import Queues
from orchestrator.runners.children import Watcher
from orchestrator.runners.fake import FakeRunner
from orchestrator.runners.interpreters import InterpreterRunner
from orchestrator.runners.processes import ProcessRunner
from orchestrator.runners.programs import ProgramRunner
from orchestrator.runners.threads import ThreadRunner
from orchestrator.streams import installed
from tests.builder import FUNCTION_MODES, TIMEOUT_S, Gate

KINDS = (*FUNCTION_MODES, "program", "fake")
REAL = (*FUNCTION_MODES, "program")
GIVEN_UP = tuple(kind for kind in FUNCTION_MODES if kind in INSIDE)  # nothing can kill these
KILLED = ("process", "program", "fake")
MODULE = """
import os, signal, time
from orchestrator import task

def ok(gate): return {"a": (1, None), "b": "é"}
def fail(gate): raise ValueError("no such luck")
def not_json(gate): return {1, 2}

def polite(gate):
    task.cancelled  # from now on TERM asks
    _came(gate)
    while not task.cancelled:
        time.sleep(0.005)  # the token is there to be polled

def stubborn(gate):
    if os.environ.get("ORCH_TASK"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _came(gate)
    with open(gate + ".on", "rb") as file:
        file.read(1)

def _came(gate):
    with open(gate, "wb") as file:
        file.write(b"x")
"""
# $1 is the gate; stdin is /dev/null
SCRIPTS = {
    "ok": """printf '{"a": [1, null], "b": "é"}' > "$ORCH_OUTPUT" """,
    "fail": "exit 3",
    "not_json": """printf '{1, 2}' > "$ORCH_OUTPUT" """,
    "polite": """trap 'exit 0' TERM; printf x > "$1"; sleep 60 & wait""",
    "stubborn": """trap '' TERM; printf x > "$1"; read x < "$1.on" """,
}
FAKE = {
    "ok": {"outcome": "ok", "output": '{"a":[1,null],"b":"é"}'},
    "fail": {"outcome": "failed", "error": Failure("ValueError", "no such luck")},
    "not_json": {"outcome": "failed", "error": Failure("OutputError", "output is not JSON")},
}


class Bench:
    """A runner of one kind, attempts for it, and what it posts."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind, self.folder = kind, folder
        self.module = f"contract_{folder.name}"
        (folder / f"{self.module}.py").write_text(MODULE)
        self.gate = Gate(folder / "gate")
        self.on = Gate(folder / "gate.on")
        self.posted: SimpleQueue[Ended | Returned | Noted] = SimpleQueue()
        self._unended = 0
        self.poller = Poller(self._failed)
        self.watcher = Watcher(self.poller, lambda _: None, lambda *_: None)
        post, now = self.posted.put, time.monotonic
        plan = Plan("contract", str(folder), {})
        queues = Queues(plan, str(folder), self.poller, lambda _: None, now)
        self.runner: Any = {
            "thread": lambda: ThreadRunner("run", post, now, queues),
            "interpreter": lambda: InterpreterRunner(
                str(folder), "run", str(folder / "socket"), post, now, self.watcher, queues
            ),
            "process": lambda: ProcessRunner(str(folder), post, now, self.watcher, queues),
            "program": lambda: ProgramRunner(post, now, self.watcher, queues),
            "fake": lambda: FakeRunner(post, now, self._script),
        }[kind]()

    def _failed(self, error: Exception) -> None:
        raise AssertionError(f"the poller failed: {error!r}")

    def _script(self, attempt: Attempt) -> Ended | None:
        fields = FAKE.get(attempt.argv[-1])
        if fields is None:
            self.gate.open()
            return None
        return Ended(attempt.task, attempt.number, at=time.monotonic(), **fields)

    def attempt(self, does: str, task: str = "a", number: int = 1, **changes: Any) -> Attempt:
        """Return an attempt that does one of the things in ``SCRIPTS``."""
        stem = str(self.folder / f"{task}.{number}")
        env = {**os.environ, "ORCH_TASK": task, "ORCH_OUTPUT": f"{stem}.output"}
        argv = ["/bin/sh", "-c", SCRIPTS.get(does, does), "sh", self.gate.path]
        whole = Attempt(
            task, number, self.kind, f"{self.module}:{does}", [self.gate.path], {},
            argv if self.kind == "program" else [does],
            None if self.kind in INSIDE else env,
            None if self.kind in INSIDE else str(self.folder),
            f"{stem}.out", f"{stem}.err", f"{stem}.output", "file", (0,),
        )  # fmt: skip
        return whole._replace(**changes)

    def start(self, does: str, task: str = "a", number: int = 1, **changes: Any) -> None:
        """Start such an attempt; return once it waits, if that is what it does."""
        self._unended += 1
        self.runner.start(self.attempt(does, task, number, **changes))
        if does in ("polite", "stubborn"):
            self.gate.wait()

    def ended(self) -> Ended:
        """Return the next end that is posted."""
        event = self.posted.get(timeout=TIMEOUT_S)
        assert isinstance(event, Ended)
        self._unended -= 1
        return event

    def run(self, does: str, **changes: Any) -> Ended:
        """Start an attempt and return its end."""
        self.start(does, **changes)
        return self.ended()

    def close(self) -> None:
        """End everything, the stubborn threads too."""
        self.on.open()
        self.on.open()
        self.runner.close(0.0)
        while self._unended:
            self.ended()
        self.poller.close()
        self.watcher.close()
        self.gate.close()
        self.on.close()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test for every kind of runner, or those that its mark names."""
    if "bench" in metafunc.fixturenames:
        mark = metafunc.definition.get_closest_marker("kinds")
        metafunc.parametrize("bench", mark.args if mark else KINDS, indirect=True)


@pytest.fixture
def bench(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Bench]:
    """One bench for each runner."""
    monkeypatch.syspath_prepend(str(tmp_path))
    bench = Bench(request.param, tmp_path)
    with installed():
        yield bench
    bench.close()


def test_ok_carries_the_output_as_json_text(bench: Bench) -> None:
    """A result becomes compact JSON text, the same from every runner."""
    ended = bench.run("ok")
    assert ("ok", '{"a":[1,null],"b":"é"}') == (ended.outcome, ended.output)
    assert ended.error is None


def test_failure_is_described(bench: Bench) -> None:
    """A failed attempt has the type and the text of its error, and no output."""
    ended = bench.run("fail")
    said = ("ExitStatus", "exit status 3")
    expected = said if bench.kind == "program" else ("ValueError", "no such luck")
    assert ("failed", None) == (ended.outcome, ended.output)
    assert expected == ended.error[:2]


def test_result_that_is_not_json_fails(bench: Bench) -> None:
    """An output that is not JSON is a failure, not an exception."""
    ended = bench.run("not_json")
    assert ("failed", "OutputError") == (ended.outcome, ended.error.type)


def test_exit_status_is_given(bench: Bench) -> None:
    """Attempts that are processes say how they exited; the others have no exit status."""
    expected = {"program": 3, "process": 1}.get(bench.kind)
    assert expected == bench.run("fail").exit_status


def test_task_and_attempt_are_echoed(bench: Bench) -> None:
    """The end bears the names that the attempt had, of instances and later tries too."""
    ended = bench.run("ok", task="m.3", number=7)
    assert ("m.3", 7) == (ended.task, ended.attempt)


def test_end_is_stamped_with_the_clock_of_the_run(bench: Bench) -> None:
    """``at`` is what ``now`` said between the start and the arrival of the end."""
    before = time.monotonic()
    assert before <= bench.run("ok").at <= time.monotonic()


def test_each_attempt_ends_exactly_once(bench: Bench) -> None:
    """Every attempt has one ``Ended``; stopping it afterwards and closing add none."""
    for number in range(1, 6):
        bench.start("ok", number=number)
    ends = [bench.ended() for _ in range(5)]
    for number in range(1, 6):
        bench.runner.stop("a", number, force=True)
    bench.runner.close(0.0)
    assert dict.fromkeys(range(1, 6), 1) == Counter(ended.attempt for ended in ends)
    assert bench.posted.empty()


def test_start_returns_while_the_attempt_runs(bench: Bench) -> None:
    """``start`` does not wait for what it starts."""
    bench.start("polite")
    assert bench.posted.empty()
    bench.runner.stop("a", 1, force=False)
    assert "a" == bench.ended().task


def test_two_run_at_once(bench: Bench) -> None:
    """A second attempt runs beside one that waits."""
    bench.start("polite", "a")
    bench.start("polite", "b")
    assert bench.posted.empty()
    for task in ("a", "b"):
        bench.runner.stop(task, 1, force=False)
    assert {"a", "b"} == {bench.ended().task, bench.ended().task}


def test_soft_stop_ends_who_listens(bench: Bench) -> None:
    """An attempt that heeds the request ends by itself, once."""
    bench.start("polite")
    bench.runner.stop("a", 1, force=False)
    assert ("a", 1) == bench.ended()[:2]
    bench.runner.stop("a", 1, force=False)
    assert bench.posted.empty()


@pytest.mark.kinds(*REAL)
def test_soft_stop_leaves_who_does_not_listen(bench: Bench) -> None:
    """Only force ends an attempt that ignores the request."""
    bench.start("stubborn")
    bench.runner.stop("a", 1, force=False)
    bench.runner.stop("a", 1, force=True)
    ended = bench.ended()
    expected = (None, True) if bench.kind in INSIDE else (signal.SIGKILL, False)
    assert expected == (ended.signal, ended.left_running)


def test_forced_stop_ends_who_does_not_listen(bench: Bench) -> None:
    """With force there is an end, and it says why."""
    bench.start("stubborn")
    bench.runner.stop("a", 1, force=True)
    ended = bench.ended()
    inside = bench.kind in INSIDE
    expected = ("timed_out", "Timeout", True) if inside else ("failed", "Signal", False)
    assert expected == (ended.outcome, ended.error.type, ended.left_running)


@pytest.mark.promise(15)
@pytest.mark.kinds(*KILLED)
def test_stop_by_orch_is_not_blamed_on_the_kernel(bench: Bench) -> None:
    """A KILL that orch sent is not suspected to be for want of memory."""
    bench.start("stubborn")
    bench.runner.stop("a", 1, force=True)
    assert "killed by SIGKILL" == bench.ended().error.message


@pytest.mark.kinds(*GIVEN_UP)
def test_who_was_given_up_returns(bench: Bench) -> None:
    """The late end of who was given up is ``Returned``, not a second ``Ended``."""
    bench.start("stubborn")
    bench.runner.stop("a", 1, force=True)
    assert bench.ended().left_running
    bench.on.open()
    assert ("a", 1) == bench.posted.get(timeout=TIMEOUT_S)[:2]
    assert bench.run("ok", number=2).outcome == "ok"


@pytest.mark.kinds("thread")
def test_given_up_thread_is_located(bench: Bench) -> None:
    """Who is given up is shown with the line that it stands at."""
    bench.start("stubborn")
    bench.runner.stop("a", 1, force=True)
    trace = bench.ended().error.traceback
    assert "in stubborn" in trace
    assert "orchestrator" not in trace


def test_stop_of_an_unknown_attempt_is_ignored(bench: Bench) -> None:
    """Stopping what does not run, soft or by force, does nothing at all."""
    bench.runner.stop("nobody", 1, force=False)
    bench.runner.stop("nobody", 1, force=True)
    bench.start("polite")
    bench.runner.stop("a", 2, force=True)
    assert bench.posted.empty()


def test_close_ends_everything(bench: Bench) -> None:
    """What still runs when the runner is closed ends, each attempt once."""
    bench.start("polite", "a")
    bench.start("polite", "b")
    bench.runner.close(0.0)
    assert {"a", "b"} == {bench.ended().task, bench.ended().task}
    assert bench.posted.empty()


@pytest.mark.promise(13)
@pytest.mark.kinds(*REAL)
def test_missing_target_fails_to_launch(bench: Bench) -> None:
    """A function or program that is not there is an outcome, not an exception."""
    changes = {"function": f"{bench.module}:gone", "argv": ["/no/such/program"]}
    ended = bench.run("ok", **changes)
    assert "launch_failed" == ended.outcome
    assert ended.error.message


@pytest.mark.promise(13)
@pytest.mark.kinds(*REAL)
def test_missing_directory_fails_to_launch(bench: Bench) -> None:
    """A working directory that is not there is told apart from a missing program."""
    ended = bench.run("ok", cwd="/no/such/folder")
    assert ("launch_failed", "LaunchError") == (ended.outcome, ended.error.type)
    assert "the working directory /no/such/folder: no such file or directory" == ended.error.message


@pytest.mark.promise(13)
@pytest.mark.parametrize(
    ("argv", "status"),
    [
        (["/no/such/program"], 127),
        (["/etc/passwd"], 126),
        (["/"], 126),
        (["echo", "x" * 3_000_000], 126),
        (["echo", "a\0b"], 126),
    ],
    ids=["missing", "not executable", "directory", "too long", "NUL"],
)
def test_program_that_cannot_start_has_a_shell_s_status(
    tmp_path: Path, argv: list[str], status: int
) -> None:
    """Launch failures show the exit status that a shell would: 127 not found, 126 not runnable."""
    bench = Bench("program", tmp_path)
    ended = bench.run("ok", argv=argv)
    bench.close()
    assert ("launch_failed", status) == (ended.outcome, ended.exit_status)


@pytest.mark.kinds(*REAL)
def test_after_a_launch_failure_the_runner_goes_on(bench: Bench) -> None:
    """A failed launch takes nothing with it."""
    bench.run("ok", cwd="/no/such/folder")
    assert "ok" == bench.run("ok", number=2).outcome


@pytest.mark.kinds(*FUNCTION_MODES)
def test_output_of_an_attempt_is_in_its_files(bench: Bench) -> None:
    """What went to stderr is in the attempt's file, and in no other's."""
    bench.run("fail")
    bench.run("ok", task="b")
    assert "ValueError: no such luck" in (bench.folder / "a.1.err").read_text()
    other = bench.folder / "b.1.err"
    assert not (other.exists() and other.read_text())


def test_descriptors_are_given_back(bench: Bench) -> None:
    """Twenty attempts leave no descriptor open."""
    bench.run("ok", number=100)
    before = len(os.listdir("/proc/self/fd"))
    for number in range(20):
        bench.run("ok", number=number)
    assert before == len(os.listdir("/proc/self/fd"))


@pytest.mark.kinds("thread")
def test_a_hold_of_the_gil_is_not_that_of_who_came_meanwhile(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the loop waits for the GIL one function ends and another begins: that held nothing."""
    monkeypatch.setattr(meter, "_QUICK_S", 0.0)
    bench.start("stubborn", "before")
    scene = bench.runner.scene()
    bench.on.open()
    bench.ended()
    bench.start("polite", "after")
    bench.runner.sampled(1.0, 0.02, scene)
    bench.runner.stop("after", 1, force=False)
    assert (None, None, None) == _gil(bench.ended())


@pytest.mark.kinds("thread")
def test_a_hold_of_the_gil_is_that_of_who_was_alone(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What one function was seen to hold, and none beside it, is told of it."""
    monkeypatch.setattr(meter, "_QUICK_S", 0.0)
    bench.start("polite")
    bench.runner.sampled(1.0, 0.02, bench.runner.scene())
    bench.runner.stop("a", 1, force=False)
    assert (1.0, 1.0, None) == _gil(bench.ended())


def _gil(ended: Ended) -> tuple[float | None, float | None, float | None]:
    cost = ended.cost
    assert cost is not None
    return cost.gil_share, cost.gil_longest_s, cost.gil_taken_share
