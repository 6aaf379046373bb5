"""``orch advise``: what is advised from which evidence, and how long a job would take."""

import os
import pty
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from orchestrator.advice import advising
from orchestrator.advice.crowd import told_apart
from orchestrator.advice.evidence import Evidence
from orchestrator.advice.judge import Judge
from orchestrator.advice.known import Crowd, Known
from orchestrator.advice.overhead import Overhead
from orchestrator.advice.replay import Load, replay, simplified
from orchestrator.advice.shots import Shot
from orchestrator.events import Cost
from orchestrator.loading import Choices, cpus, load
from orchestrator.plan.model import Plan, PlanTask
from tests.builder import COMMAND, Builder


def _plan(*tasks: PlanTask, threads: int = 8, processes: int = 2) -> Plan:
    named = {task.name: task for task in tasks}
    return Plan("job", "/", named, threads=threads, processes=processes)


def _task(name: str, order: int = 0, mode: str = "thread", **fields: object) -> PlanTask:
    return PlanTask(name, order, mode, function="m:f", **fields)  # type: ignore[arg-type]


def _replay(plan: Plan, loads: Mapping[str, Load], cpus: float, **options: Any) -> float:
    return replay(plan, {name: (load,) for name, load in loads.items()}, cpus, **options)


def _time(load: Load, copies: int, mode: str = "thread", cpus: int = 2, **options: bool) -> float:
    plan = _plan(_task("a", mode=mode, items=[0] * copies), processes=copies)
    return _replay(plan, {"a": load}, cpus, **options)


@pytest.mark.parametrize(
    ("load", "copies", "expected"),
    [
        (Load(1.0, cpu=1.0, gil=1.0), 1, 1.0),
        (Load(1.0, cpu=1.0, gil=1.0), 3, 3.0),  # one at a time
        (Load(1.0, cpu=1.0, gil=0.0), 2, 1.0),  # a processor each
        (Load(1.0, cpu=1.0, gil=0.0), 4, 2.0),  # two for four
        (Load(1.0, cpu=0.0, gil=0.0), 8, 1.0),  # only waiting
        (Load(1.0, cpu=0.5, gil=0.5), 2, 1.0),  # half the time each
        (Load(1.0, cpu=0.5, gil=0.5), 3, 1.5),
    ],
)
def test_copies_on_threads(load: Load, copies: int, expected: float) -> None:
    """The GIL and the processors are shared by those that want them."""
    assert _time(load, copies) == pytest.approx(expected)


def test_no_gil_and_processes() -> None:
    """In processes, and without a GIL, only processors are shared."""
    busy = Load(1.0, cpu=1.0, gil=1.0)
    assert _time(busy, 2, "process") == pytest.approx(1.0)
    assert _time(busy, 2, free_threads=True) == pytest.approx(1.0)


def test_who_waits_beside_one_that_computes() -> None:
    """Each wait of a function beside one that holds the GIL ends a turn later."""
    plan = _plan(_task("waits"), _task("computes", 1))
    loads = {"waits": Load(1.0, waits=500), "computes": Load(5.0, cpu=1.0, gil=1.0)}
    assert _replay(plan, {"waits": loads["waits"]}, 2) == pytest.approx(1.0)
    assert _replay(simplified(plan, {"computes": "process"}, {}), loads, 2) == pytest.approx(5.0)
    late = _replay(_plan(_task("waits"), _task("computes", 1)), {**loads, "computes": Load(
        1.5, cpu=1.0, gil=1.0)}, 2)  # fmt: skip
    assert late == pytest.approx(1.5)


def test_order_and_slots_count() -> None:
    """The replay keeps to needs, slots and priorities: it is the scheduler itself."""
    load = {"a": Load(1.0), "b": Load(1.0), "c": Load(1.0)}
    chain = _plan(_task("a"), _task("b", 1, needs=("a",)), _task("c", 2, needs=("b",)))
    assert _replay(chain, load, 2) == pytest.approx(3.0)
    assert _replay(_plan(_task("a"), _task("b", 1), _task("c", 2), threads=2), load, 2) == (
        pytest.approx(2.0)
    )


def test_processes_wait_for_their_server() -> None:
    """The first processes begin when there is something that forks them."""
    plan = _plan(_task("a", mode="process"))
    assert _replay(plan, {"a": Load(1.0)}, 2, ready_s=0.25) == pytest.approx(1.25)


def _shot(seconds: float, cpu: float, gil: float | None = None, **more: float) -> Shot:
    cost = Cost(seconds, seconds * cpu, 0.0, gil_share=gil, **more)  # type: ignore[arg-type]
    return Shot(seconds, cost, 0.0, seconds)


def _nothing() -> Overhead:
    return Overhead({False: [0.0], True: [0.0]}, [0.0])


def _judge(plan: Plan, gil: bool = True, **known: Known) -> Judge:
    return Judge(plan, Evidence(known, overhead=_nothing()), 2, gil=gil)


def _known(thread: Shot, process: Shot | None = None, **fields: object) -> Known:
    shots = {"thread": [thread] * 3}
    if process is not None:
        shots["process"] = [process] * 3
    return Known(shots, runs=3, **fields)  # type: ignore[arg-type]


def test_computing_beside_each_other() -> None:
    """What holds the GIL becomes a process where several of it run at once, and says why."""
    plan = _plan(_task("a", items=[0, 0]))
    known = _known(_shot(1.0, 1.0, 1.0), _shot(1.01, 1.0))
    verdict = _judge(plan, a=known).verdict()
    advice = verdict.tasks["a"]
    assert (advice.mode, advice.advised, advice.confidence) == ("thread", "process", "medium")
    assert "GIL held 100%" in advice.reason
    assert verdict.now_s == pytest.approx(2.0)
    assert verdict.advised_s == pytest.approx(1.01)
    assert advice.saves_s == pytest.approx(0.99)


def test_computing_alone_stays() -> None:
    """A function that runs alone gains nothing from a process of its own."""
    known = _known(_shot(1.0, 1.0, 1.0), _shot(1.01, 1.0))
    assert _judge(_plan(_task("a")), a=known).verdict().tasks["a"].advised == "thread"


def test_waiting_stays() -> None:
    """Neither does one that waits, however many of it there are."""
    plan = _plan(_task("a", items=[0] * 8))
    known = _known(_shot(1.0, 0.01, 0.0), _shot(1.01, 0.01))
    assert _judge(plan, a=known).verdict().tasks["a"].advised == "thread"


def test_without_a_gil() -> None:
    """Where there is none, computing beside each other is no reason."""
    plan = _plan(_task("a", items=[0, 0]))
    known = _known(_shot(1.0, 1.0, 1.0), _shot(1.01, 1.0))
    advice = _judge(plan, gil=False, a=known).verdict().tasks["a"]
    assert advice.advised == "thread"
    assert "no GIL" in advice.reason


def test_long_holds() -> None:
    """A function that keeps orch from its loop becomes a process also where nothing is gained."""
    known = _known(_shot(1.0, 1.0, 1.0, gil_longest_s=0.2), _shot(1.01, 1.0))
    advice = _judge(_plan(_task("a")), a=known).verdict().tasks["a"]
    assert advice.advised == "process"
    assert "0.20 s at a time" in advice.reason


def test_one_of_two_is_enough() -> None:
    """Of two that are in each other's way one may stay where it is, and costs no process."""
    plan = _plan(_task("a"), _task("b", 1))
    known = {name: _known(_shot(1.0, 1.0, 1.0), _shot(1.1, 1.0)) for name in "ab"}
    tasks = _judge(plan, **known).verdict().tasks
    assert sorted(task.advised for task in tasks.values()) == ["process", "thread"]


def test_what_several_at_once_took_counts_more() -> None:
    """A share of the GIL that was seen is put right by what copies took together."""
    plan = _plan(_task("a", items=[0, 0]))
    known = _known(_shot(1.0, 1.0, 0.0), _shot(1.01, 1.0), measured=True)
    known.together = {"thread": Crowd(1.9, 0.95, 1.9, 2), "process": Crowd(1.05, 0.525, 1.05, 2)}
    verdict = _judge(plan, a=known).verdict()
    assert verdict.now_s == pytest.approx(1.9)
    assert verdict.tasks["a"].advised == "process"


MODULE = """
    import time

    def burns(seconds=0.15):
        until = time.thread_time() + seconds
        while time.thread_time() < until:
            pass

    def sleeps():
        time.sleep(0.05)

    def quick(i=0):
        pass

    def fails():
        raise ValueError("not today")
"""


@pytest.fixture
def funcs(job: Builder) -> Builder:
    """Return a builder with functions that compute, wait and fail."""
    job.module(MODULE)
    return job


def test_nothing_is_known(funcs: Builder) -> None:
    """Without a run nothing is advised, and the next step is named."""
    funcs.tasks("a: {mode: thread, function: 'm:burns'}")
    done = funcs.orch("advise", "job.yaml")
    assert done.code == 0
    assert "nothing is known of it yet" in done.out
    assert funcs.orch("advise", "job.yaml", "--json").tasks["a"]["confidence"] == "none"


def test_from_recorded_runs(funcs: Builder) -> None:
    """What runs have taken is enough for advice; what has changed since does not count.

    Loops are faster in processes where there are processors for them.
    """
    tasks = """
        a: {function: 'm:burns', args: [0.4], foreach: {i: [1, 2, 3, 4]}}
        b: {function: 'm:sleeps', needs: [a], foreach: {i: [1, 2, 3]}}
    """
    funcs.tasks(tasks, "defaults: {mode: thread}\nlimits: {processes: 3}")
    assert funcs.run().code == 0
    for runs in range(2, 7):  # on a busy machine who waits for the GIL may wait for a processor
        assert funcs.run().code == 0
        found = funcs.orch("advise", "job.yaml", "--json").tasks
        assert found["b"]["advised"] == "thread"
        assert found["a"]["evidence"] == f"{runs} recorded"
        seconds = found["a"]["seconds"]
        if (seconds["thread"] > seconds["process"]) is (cpus() > 1):
            break
    else:
        pytest.fail(f"no time is saved by processes, or on one processor: {found['a']}")
    funcs.module(MODULE + "\n    x = 1\n")
    assert funcs.orch("advise", "job.yaml", "--json").tasks["a"]["evidence"] == "none"


def test_measured(funcs: Builder) -> None:
    """With ``--measure`` functions are run in both modes; the job and its runs stay as they are."""
    funcs.tasks(
        """
        a: {mode: thread, function: 'm:burns', args: ["{{ params.s }}"], foreach: {i: [1, 2]}}
        b: {mode: process, function: 'm:quick', needs: [a], foreach: {i: [1, 2, 3, 4, 5, 6]}}
        c: {mode: subprocess, command: ['true']}
        """,
        "params: {s: {type: float, default: 0.1}}\nlimits: {processes: 1}",
    )
    done = funcs.orch("advise", "job.yaml", "--measure", "--yes", "--times", "1", "--json")
    assert set(done.tasks) == {"a", "b"}
    assert {task["evidence"] for task in done.tasks.values()} == {"measured"}
    assert done.tasks["b"]["advised"] == "thread"
    assert funcs.runs() == []
    assert done.document["now_s"] >= done.document["advised_s"]
    left = {path.name for path in (funcs.root / ".orch").iterdir()}
    assert left <= {".gitignore", "cache", "measured.json", "trials"}
    assert not list((funcs.root / ".orch" / "trials").iterdir())


def test_measured_with_outputs(funcs: Builder) -> None:
    """Arguments that come from other tasks are those of the newest run; without one it is said."""
    funcs.tasks(
        """
        first: {mode: subprocess, command: [echo, '0.05'], output: json}
        a: {mode: thread, function: 'm:burns', args: ["{{ tasks.first.output }}"]}
        """
    )
    told = funcs.orch("advise", "job.yaml", "--measure", "--yes")
    assert "`a` is not measured: it needs the output of `first`" in told.err
    assert "run the job first" in told.out
    assert "next:" not in told.out
    funcs.run()
    done = funcs.orch("advise", "job.yaml", "--measure", "--yes", "--times", "1", "--json")
    assert done.tasks["a"]["evidence"] == "measured"


def test_a_function_that_fails_is_named(funcs: Builder) -> None:
    """Measuring ends with what went wrong."""
    funcs.tasks("a: {mode: thread, function: 'm:fails'}")
    done = funcs.orch("advise", "job.yaml", "--measure", "--yes")
    assert done.code == 1
    assert "task `a` as `thread` failed: ValueError: not today" in done.err


def test_asks_before_it_runs_anything(funcs: Builder) -> None:
    """Without a terminal ``--yes`` is needed; on one it asks, and no is an answer."""
    funcs.tasks("a: {mode: thread, function: 'm:sleeps'}")
    done = funcs.orch("advise", "job.yaml", "--measure")
    assert done.code == 2
    assert "m:sleeps" in done.err
    assert "--yes" in done.err
    ours, theirs = pty.openpty()
    asking = subprocess.Popen(
        [*COMMAND, "advise", "job.yaml", "--measure"], stdin=theirs, stdout=theirs, stderr=theirs,
        cwd=funcs.root, env=funcs.env, start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    said = b""
    while b"[y/N]" not in said:
        said += os.read(ours, 4096)
    os.write(ours, b"n\n")
    assert asking.wait(30) == 4
    os.close(ours)
    assert funcs.runs() == []


def test_apply(funcs: Builder) -> None:
    """``--apply`` writes the modes that are advised, shows the difference, and keeps comments."""
    funcs.file("job.yaml", """
        # what I thought
        limits: {processes: 1}
        tasks:
          a:  # light
            mode: thread  # !
            function: m:sleeps
            foreach: {i: [1, 2, 3, 4]}
            needs: [b]
          b: {mode: process, function: 'm:quick', foreach: [1, 2, 3, 4, 5, 6]}  # one by one
    """)  # fmt: skip
    before = Path(funcs.root, "job.yaml").read_text()
    found = funcs.orch("advise", "job.yaml", "--measure", "--yes", "--json", "--times", "1").tasks
    done = funcs.orch("advise", "job.yaml", "--measure", "--yes", "--apply", "--times", "1")
    after = Path(funcs.root, "job.yaml").read_text()
    assert found["b"]["advised"] == "thread"
    assert "-  b: {mode: process, function: 'm:quick'," in done.out
    assert "+  b: {mode: thread, function: 'm:quick'," in done.out
    assert after == before.replace("b: {mode: process", "b: {mode: thread")
    assert funcs.run().code == 0


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["job.yaml", "--task", "x"], "no task `x`"),
        (["job.yaml", "--task", "pq"], "no task `pq`; did you mean `p`?"),
        (["job.yaml", "--times", "2"], "--times goes with --measure"),
        (["job.yaml", "--yes"], "--yes goes with --measure"),
        (["job.yaml", "--task", "p"], "`p` is a program"),
        (["-", "--apply"], "no file to write to"),
    ],
)
def test_mistakes(funcs: Builder, args: list[str], said: str) -> None:
    """What cannot be advised on is an error of usage."""
    funcs.tasks("p: {mode: subprocess, command: ['true']}")
    text = Path(funcs.root, "job.yaml").read_text()
    done = funcs.orch("advise", *args, stdin=text)
    assert done.code == 2
    assert said in done.err


def test_ctrl_c_stops_measuring(funcs: Builder) -> None:
    """A signal ends the function that is being measured, and the command by that signal."""
    gate = funcs.gate("gate")
    funcs.module(
        """
        from orchestrator import task

        def waits():
            with open("gate", "w") as file:
                file.write("x")
            while True:
                task.check()
        """,
        "slow",
    )
    funcs.tasks("a: {mode: thread, function: 'slow:waits'}")
    running = funcs.start_orch("advise", "job.yaml", "--measure", "--yes")
    gate.wait()
    running.signal(signal.SIGINT)
    done = running.finish()
    assert done.code == -signal.SIGINT
    assert "stopping" in done.err
    assert not list((funcs.root / ".orch" / "trials").iterdir())


def _thread(begin: float, wall: float, cpu: float, waits: int, taken: float | None = None) -> Shot:
    cost = Cost(wall, cpu, voluntary_switches=waits, gil_taken_share=taken)
    return Shot(wall, cost, begin, begin + wall)


def test_turns_are_told_from_waits() -> None:
    """Who computes beside others waited for the GIL; who sleeps beside them slept."""
    burns = [_thread(0.0, 0.4, 0.1, 300) for _ in range(4)]
    sleeps, alone = _thread(0.0, 0.4, 0.0, 2), _thread(1.0, 0.4, 0.1, 300)
    *told, slept, by_itself = told_apart([*burns, sleeps, alone])
    assert [shot.lost_s for shot in told] == pytest.approx([0.3] * 4)
    assert slept.lost_s < 0.01
    assert by_itself.lost_s == pytest.approx(0.0)


def test_turns_that_samples_miss() -> None:
    """Who waits for as long as the others compute wants the GIL; who goes on beside them does not.

    Samples see less of it than there is where turns are short, or processors are few.
    """
    turns = told_apart([_thread(0.0, 1.6, 0.4, 750, 0.3) for _ in range(4)])
    loads = Known({"thread": turns}).load("thread")
    assert loads is not None
    assert loads.gil == pytest.approx(loads.cpu)
    beside = told_apart([_thread(0.0, 0.8, 0.4, 5, 0.3) for _ in range(4)])
    loads = Known({"thread": beside}).load("thread")
    assert loads is not None
    assert loads.gil == pytest.approx(0.3)


def test_waits_that_end_late() -> None:
    """Who waits often was late for as long as it lost, by a turn of each loop, and no longer."""
    loops = [_thread(0.0, 1.5, 0.6, 900) for _ in range(2)]
    waits, *_ = told_apart([_thread(0.0, 1.5, 0.3, 2800), *loops])
    assert waits.hogs == pytest.approx(2.0)
    load = Known({"thread": [waits]}).load("thread")
    assert load is not None
    assert load.seconds == pytest.approx(0.3)
    assert load.waits == pytest.approx(600)


def test_late_or_never() -> None:
    """Nobody lost more than others computed meanwhile, nor before or after."""
    first, second = told_apart([_thread(0.0, 1.0, 0.2, 900), _thread(0.5, 1.0, 0.4, 900)])
    assert first.lost_s == pytest.approx(0.2)
    assert second.lost_s == pytest.approx(0.1)


def test_tasks_that_rest() -> None:
    """What waits for a failure, or was hardly ever started, takes no time; nor who needs it."""
    known = _known(_shot(1.0, 0.0, 0.0))
    plan = _plan(
        _task("a"), _task("b", 1, needs=("a",), run_when="failed"), _task("c", 2, needs=("b",)),
        _task("d", 3, when=True), _task("e", 4, needs=("d",)),
    )  # fmt: skip
    idle = _known(_shot(5.0, 0.0, 0.0), chances=3, starts=1)
    judge = _judge(plan, a=known, b=known, c=known, d=idle, e=known)
    assert judge.verdict().now_s == pytest.approx(1.0)


def test_many_small_ones_move_together() -> None:
    """One of two hundred is worth nothing; all of one function are."""
    tasks = [_task(f"t{number}", number) for number in range(40)]
    known = _known(_shot(0.02, 1.0, 1.0), _shot(0.021, 1.0))
    verdict = _judge(_plan(*tasks), **{task.name: known for task in tasks}).verdict()
    assert {one.advised for one in verdict.tasks.values()} == {"process"}


def test_one_that_fails(funcs: Builder) -> None:
    """What fails is not measured, and that is said; the others are."""
    funcs.tasks("""
        a: {mode: thread, function: 'm:sleeps'}
        b: {mode: thread, function: 'm:fails'}
        c: {mode: thread, function: 'm:sleeps', foreach: []}
    """)
    done = funcs.orch("advise", "job.yaml", "--measure", "--yes", "--times", "1", "--json")
    assert done.code == 0
    assert [done.tasks[name]["evidence"] for name in "abc"] == ["measured", "none", "none"]
    assert "it was not measured: task `b` as `thread` failed" in done.tasks["b"]["reason"]
    assert "no items" in done.tasks["c"]["reason"]
    alone = funcs.orch("advise", "job.yaml", "--measure", "--yes", "--task", "b")
    assert alone.code == 1
    assert "task `b` as `thread` failed" in alone.err


@pytest.mark.parametrize(
    ("function", "why"),
    [
        ("ends", "as `thread` it ended orch"),
        ("hears", "as `thread` it failed: ValueError: signal only works in main thread"),
    ],
)
def test_a_mode_in_which_it_fails(funcs: Builder, function: str, why: str) -> None:
    """It has to have the other one, for whatever that takes; the others are measured as ever."""
    funcs.module(
        """
        import os
        import signal
        import threading

        def ends():
            if os.environ.get("ORCH_TASK") is None:
                os._exit(9)

        def hears():
            signal.signal(signal.SIGUSR2, signal.SIG_DFL)
        """,
        "picky",
    )
    funcs.tasks(f"""
        a: {{mode: thread, function: 'm:sleeps'}}
        b: {{mode: thread, function: 'picky:{function}'}}
    """)
    done = funcs.orch("advise", "job.yaml", "--measure", "--yes", "--times", "1", "--json")
    assert done.code == 0, done.err
    found = done.tasks["b"]
    assert (found["advised"], found["confidence"]) == ("process", "high")
    assert why in found["reason"]
    assert (done.tasks["a"]["advised"], done.tasks["a"]["evidence"]) == ("thread", "measured")
    again = funcs.orch("advise", "job.yaml", "--apply")
    assert f"+  b: {{mode: process, function: 'picky:{function}'}}" in again.out
    assert why not in again.err


def test_one_that_ends_orch_in_every_mode(funcs: Builder) -> None:
    """Which one it was is said, and nothing of a run that could be resumed."""
    funcs.module("import os, signal\ndef f(): os.kill(os.getpid(), signal.SIGKILL)\n", "ends")
    funcs.tasks("""
        a: {mode: thread, function: 'm:sleeps'}
        b: {mode: thread, function: 'ends:f'}
    """)
    done = funcs.orch("advise", "job.yaml", "--measure", "--yes", "--times", "1")
    assert done.code == 0
    assert "task `b` as `thread` ended orch\n" in done.err
    assert "`b` is not measured" in done.err
    assert "resume" not in done.err


@pytest.mark.parametrize("task", ["foreach: []", "when: '{{ false }}'"])
def test_runs_in_which_nothing_was_started(funcs: Builder, task: str) -> None:
    """A run with nothing to do is no evidence, and in nobody's way."""
    funcs.tasks(f"a: {{mode: auto, function: 'm:sleeps', {task}}}")
    for _ in range(2):
        assert funcs.run().code == 0
    done = funcs.orch("advise", "job.yaml")
    assert done.code == 0
    assert "nothing is known of it yet" in done.out


def test_what_is_asked_next(funcs: Builder) -> None:
    """The next step has the parameters, and is no more sure than the advice."""
    funcs.tasks(
        "a: {mode: thread, function: 'm:burns', args: ['{{ params.s }}']}",
        "params: {s: {type: float}}",
    )
    done = funcs.orch("advise", "job.yaml", "-p", "s=0.01")
    assert "next: orch advise job.yaml -p s=0.01 --measure" in done.out


def test_line_at_the_end(funcs: Builder) -> None:
    """It names the tasks and what they would save, and how to ask for more."""
    funcs.tasks(
        "a: {mode: thread, function: 'm:burns', args: ['{{ params.s }}']}",
        "params: {s: {type: float}}",
    )
    loaded = load(str(funcs.root / "job.yaml"), Choices({"s": "0.1"}))
    known = _known(_shot(1.0, 1.0, 1.0), _shot(1.0, 1.0))
    advice = _judge(_plan(_task("a", items=[0, 0])), a=known).verdict().tasks["a"]
    said = advising.line([advice], 2, 1.0, loaded, str(funcs.root / ".orch"))
    assert said.startswith("2 thread tasks took turns on the GIL: `mode: process` for `a` would")
    assert said.endswith("job.yaml -p s=0.1)")
    elsewhere = advising.line([advice], 2, 1.0, loaded, "/elsewhere")
    assert elsewhere.endswith("job.yaml -p s=0.1 --state-dir /elsewhere)")


def test_effort_is_bounded() -> None:
    """However many functions there are, only so many replays are made; the heaviest come first."""
    names = [f"t{i}" for i in range(300)]
    plan = _plan(*(_task(name, order) for order, name in enumerate(names)), threads=300)
    known = {name: _known(_shot(0.01, 1.0, 1.0), _shot(0.02, 1.0)) for name in names}
    known["t7"] = _known(_shot(5.0, 1.0, 1.0), _shot(5.0, 1.0))
    judge = Judge(plan, Evidence(known, overhead=_nothing()), 2, effort=300 * 20)
    calls = []
    time = judge.time
    judge.time = lambda modes: calls.append(1) or time(modes)  # type: ignore[method-assign,func-returns-value]
    verdict = judge.verdict()
    assert len(calls) <= 25
    assert verdict.tasks["t7"].advised == "process"
