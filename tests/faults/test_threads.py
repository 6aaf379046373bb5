"""What functions on threads may do to the process that orch is."""

import signal
import sys
from collections.abc import Callable

import pytest

from tests.builder import Builder

MODULE = """
import locale, os, signal, sys, threading, time

def leaves(): sys.exit(7)
def leaves_quietly(): sys.exit()
def interrupts(): raise KeyboardInterrupt
def ends_generator(): raise GeneratorExit
def bare(): raise BaseException("bare")
def leaves_in_a_thread():
    thread = threading.Thread(target=sys.exit)
    thread.start()
    thread.join()
def fine(): return "fine"

class Mute(Exception):
    def __str__(self): raise ValueError("no words")
    __repr__ = __str__
class Liar(Exception):
    def __str__(self): return 5
class Pickled(Exception):
    def __reduce__(self): open("pickled", "w").write("x"); return (Pickled, ())
class Thing:
    def __reduce__(self): open("pickled", "w").write("x"); return (Thing, ())
    def __repr__(self): raise SystemExit("repr")
class Two(Exception):
    def __init__(self, a, b): super().__init__(a)
class Local(Exception): lock = threading.Lock()

def mute(): raise Mute
def liar(): raise Liar
def pickled(): raise Pickled("x")
def lock():
    error = Local("has a lock")
    error.lock = threading.Lock()
    raise error
def two(): raise Two(1, 2)
def mega(): raise ValueError("x" * 2**20)
def deep():
    error = ValueError("0")
    for number in range(5000):
        error.__cause__, error = None, type("E", (Exception,), {})(error)
    raise error
def loop():
    first, second = ValueError("a"), ValueError("b")
    first.__cause__, second.__cause__ = second, first
    raise first
def thing(): return Thing()
def nan(): return float("nan")
def tuple_key(): return {(1, 2): 3}
def huge(): return "x" * 2**21

def crashes():
    if not os.path.exists("flag"):
        {how}
"""
CRASHES = {
    "exit": "os._exit(9)",
    "segfault": "import ctypes; ctypes.string_at(0)",
    "abort": "os.abort()",
}
if sys.version_info < (3, 12):  # later ones stop it before the stack has ended
    # a call of C code by C code by C code: no limit of Python's holds
    CRASHES["recursion"] = (
        "import functools; sys.setrecursionlimit(10**9); threading.stack_size(0); "
        "f = lambda: f(); [f := functools.partial(f) for _ in ()]; "
        "exec('class A:\\n    def __getattr__(self, name): return getattr(self, name)\\nA().x')"
    )


def _module(job: Builder, how: str = "pass") -> None:
    job.module(MODULE.replace("{how}", how))


def _task(name: str, more: str = "", mode: str = "thread") -> str:
    return f"{name}: {{mode: {mode}, function: 'm:{name}'{more}}}"


@pytest.mark.promise(19)
@pytest.mark.parametrize("mode", ["thread", "process"])
def test_base_exceptions_are_failures(
    job: Builder, mode: str, faults: Callable[[int, int], None]
) -> None:
    """``sys.exit()`` is no success, a KeyboardInterrupt no Ctrl-C, and the run goes on."""
    _module(job)
    expected = {
        "leaves": "SystemExit",
        "leaves_quietly": "SystemExit",
        "interrupts": "KeyboardInterrupt",
        "ends_generator": "GeneratorExit",
        "bare": "BaseException",
    }
    names = [*expected, "fine", "leaves_in_a_thread"]
    job.tasks("\n".join(_task(name, mode=mode) for name in names), "limits: {threads: 1}")
    done = job.run("--json")
    assert (done.code, done.document["state"]) == (1, "failed")
    errors = {name: (done.tasks[name]["error"] or {}).get("type") for name in expected}
    faults(len(expected), sum(errors[name] == expected[name] for name in expected))
    assert errors == expected
    assert done.tasks["fine"]["output"] == "fine"
    assert done.tasks["leaves_in_a_thread"]["state"] == "succeeded"


@pytest.mark.promise(3, 9, 20)
@pytest.mark.parametrize("how", CRASHES)
def test_end_of_orch(job: Builder, how: str) -> None:
    """Whatever ends orch from within: nothing is left, the record is whole, resume finishes."""
    _module(job, CRASHES[how])
    job.tasks(f"""
        {_task("fine")}
        beside: {{mode: subprocess, shell: true, command: "test -e flag || sleep 50"}}
        {_task("crashes", ", needs: [fine]")}
    """)
    done = job.run("-q")
    assert done.code not in (0, 1)
    assert job.left_over() == []
    assert "in the middle of its run" in done.err
    shown = job.orch("show", "--json")
    assert shown.document["state"] == "interrupted"
    assert [task["outcome"] for task in shown.tasks.values()] == ["ok", "lost", "lost"]
    job.file("flag", "")
    done = job.orch("resume", "--json")
    assert done.code == 0
    assert [task["attempts"] for task in done.tasks.values()] == [1, 2, 2]


@pytest.mark.promise(21)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stuck_thread_and_a_signal(job: Builder, number: signal.Signals) -> None:
    """A thread that never returns does not outlast a Ctrl-C; the summary names task and line."""
    gate = job.gate("gate")
    job.gate("never")
    job.module("""
        def f():
            open("gate", "w").write("x")
            while True:
                try: open("never").read()
                except BaseException: pass
    """)
    job.tasks('stuck: {mode: thread, function: "m:f", grace: 0.2}', "grace: 0.2")
    running = job.start()
    gate.wait()
    running.signal(number)
    done = running.finish()
    assert done.code == -number
    assert "the thread of task `stuck` still runs" in done.err
    assert "m.py" in done.err


@pytest.mark.promise(21)
def test_busy_thread_does_not_keep_orch_from_ending(job: Builder) -> None:
    """Nor does one that computes without an end, or that has left threads of its own."""
    job.module("""
        import threading
        def own(): threading.Thread(target=threading.Event().wait).start()
        def busy():
            while True: pass
    """)
    job.tasks("""
        own: {mode: thread, function: "m:own"}
        busy: {mode: thread, function: "m:busy", timeout: 0.2, grace: 0.2}
    """)
    done = job.run("--json")
    assert (done.code, done.tasks["own"]["state"]) == (1, "succeeded")
    assert done.tasks["busy"]["outcome"] == "timed_out"


@pytest.mark.promise(22)
def test_prints_of_many_at_once(job: Builder, faults: Callable[[int, int], None]) -> None:
    """Of 30 tasks that print together each line is in the file of its own task, whole, in order."""
    job.module("""
        import sys, threading
        barrier = threading.Barrier(30)
        def f(n):
            barrier.wait()
            for i in range(300):
                print("task", n, "line", i)
                print("task", n, "error", i, file=sys.stderr)
    """)
    job.tasks(
        "a: {mode: thread, function: 'm:f', args: ['{{ item }}'], foreach: '{{ range(30) }}'}",
        "limits: {threads: 30}",
    )
    assert job.run().code == 0
    good = 0
    for n in range(30):
        lines = [f"task {n} line {i}" for i in range(300)]
        errors = [f"task {n} error {i}" for i in range(300)]
        good += job.written(f"a.{n}.1.out").splitlines() == lines
        good += job.written(f"a.{n}.1.err").splitlines() == errors
    faults(60, good)
    assert good == 60
    assert job.written("run.out") == ""


@pytest.mark.promise(23)
@pytest.mark.parametrize("mode", ["thread", "process"])
def test_odd_ends(job: Builder, mode: str, faults: Callable[[int, int], None]) -> None:
    """Exceptions of any kind and results of none are failures that are told; nothing is pickled."""
    _module(job)
    expected = {
        "mute": "Mute",
        "liar": "Liar",
        "pickled": "Pickled",
        "lock": "Local",
        "two": "Two",
        "mega": "ValueError",
        "deep": "E",
        "loop": "ValueError",
        "thing": "OutputError",
        "nan": "OutputError",
        "tuple_key": "OutputError",
        "huge": "OutputError",
    }
    job.tasks("\n".join(_task(name, mode=mode) for name in [*expected, "fine"]))
    done = job.run("--json")
    errors = {name: done.tasks[name]["error"] for name in expected}
    types = {name: (error or {}).get("type", "").split(".")[-1] for name, error in errors.items()}
    faults(len(expected), sum(types[name] == expected[name] for name in expected))
    assert types == expected
    assert (
        max(len(json_text) for e in errors.values() for json_text in map(str, e.values())) < 70_000
    )
    assert "cut at 64 KiB" in errors["mega"]["message"]
    assert "not JSON" in errors["nan"]["message"]
    assert not (job.root / "pickled").exists()
    assert done.tasks["fine"]["output"] == "fine"
