"""What advice must not do: advise what fails, run what the job would not, lose what it has seen."""

import json
import os
import pty
import re
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from orchestrator.advice.evidence import Evidence, Whole, recorded
from orchestrator.advice.judge import Judge, Verdict
from orchestrator.advice.known import Known
from orchestrator.advice.overhead import Overhead
from orchestrator.advice.shots import Shot
from orchestrator.events import Cost
from orchestrator.loading import load
from orchestrator.plan.model import Plan, PlanTask
from tests.builder import COMMAND, Builder

MEASURE = ("--measure", "--yes", "--times", "1")
MODULE = """
    import os
    import signal
    import time
    from orchestrator import task

    def naps(seconds=0.05):
        time.sleep(seconds)

    def burns(seconds=0.3):
        until = time.thread_time() + seconds
        while time.thread_time() < until:
            pass

    def hears():
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)

    def crashes_once():
        if task.attempt == 1:
            os._exit(7)

    def hangs_once():
        if task.attempt == 1:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            while True:
                signal.pause()

    def steers():
        raise ValueError("bo\\x1b[31mom")

    def notes(name):
        with open("book", "a") as file:
            file.write(name + "\\n")
        return [1, 2]
"""


@pytest.fixture
def funcs(job: Builder) -> Builder:
    """Return a builder with functions that are not at home everywhere."""
    job.module(MODULE)
    return job


def test_a_mode_that_has_failed(funcs: Builder) -> None:
    """What failed as a thread, and did not as a process, stays one, by records alone."""
    funcs.tasks("a: {mode: thread, function: 'm:hears'}")
    assert funcs.run().code == 1
    funcs.tasks("a: {mode: process, function: 'm:hears'}")
    assert funcs.run().code == 0
    found = funcs.orch("advise", "job.yaml", "--json").tasks
    assert found["a"]["advised"] == "process"
    assert "as `thread` it failed: ValueError: signal only works" in found["a"]["reason"]


@pytest.mark.parametrize(
    ("function", "more", "why"),
    [
        ("crashes_once", "", "would take orch along: exit status 7"),
        ("hangs_once", "timeout: 0.3, grace: 0.1", "could not be killed: timed out after 0.3 s"),
    ],
)
def test_a_process_that_had_to_be_one(funcs: Builder, function: str, more: str, why: str) -> None:
    """Who crashed, or had to be killed, is advised no thread, though another try succeeded."""
    retry = f"retry: {{attempts: 2, delay: 0}}, {more}"
    funcs.tasks(
        f"""
        a: {{mode: process, function: 'm:{function}', {retry}}}
        b: {{mode: process, function: 'm:naps', needs: [a], foreach: {{seconds: [0, 0, 0, 0]}}}}
        """,
        "limits: {processes: 1}",
    )
    assert funcs.run().code == 0
    found = funcs.orch("advise", "job.yaml", "--json").tasks
    assert {name: task["advised"] for name, task in found.items()} == {
        "a": "process", "b": "thread",
    }  # fmt: skip
    assert f"as `thread` it {why}" in found["a"]["reason"]


def test_what_can_no_longer_be_killed(funcs: Builder) -> None:
    """A time limit works otherwise on a thread, and that is said."""
    funcs.tasks("a: {mode: process, function: 'm:naps', timeout: 5}")
    assert funcs.run().code == 0
    found = funcs.orch("advise", "job.yaml", "--json").tasks["a"]
    assert found["advised"] == "thread"
    assert "it cannot be killed at its timeout then" in found["reason"]


@pytest.mark.parametrize("option", ["--only", "--skip"])
def test_what_was_left_out_has_no_condition(funcs: Builder, option: str) -> None:
    """Who did not run because nobody wanted it does not rest."""
    funcs.tasks("a: {mode: thread, function: 'm:burns'}\nb: {mode: thread, function: 'm:burns'}")
    assert funcs.run().code == 0
    for _ in range(3):
        assert funcs.run(option, "a").code == 0
    assert funcs.orch("advise", "job.yaml", "--json").document["now_s"] > 0.6


@pytest.mark.parametrize("key", ["leftovers: kill", "env: {A: '1'}"])
def test_keys_that_no_thread_can_have(funcs: Builder, key: str) -> None:
    """A task that has one stays a process, also where it says what would be so anyway."""
    funcs.tasks(
        f"""
        a: {{mode: process, function: 'm:naps', {key}}}
        b: {{mode: process, function: 'm:naps', needs: [a], foreach: {{seconds: [0, 0, 0, 0]}}}}
        """,
        "limits: {processes: 1}",
    )
    assert funcs.run().code == 0
    done = funcs.orch("advise", "job.yaml", "--apply", "--json")
    assert done.code == 0, done.err
    assert "+  b: {mode: thread" in done.document["applied"]
    assert "+  a" not in done.document["applied"]


def test_escapes_of_an_exception(funcs: Builder) -> None:
    """What a function raises cannot steer a terminal."""
    funcs.tasks("a: {mode: thread, function: 'm:steers'}\nb: {mode: thread, function: 'm:naps'}")
    done = funcs.orch("advise", "job.yaml", *MEASURE)
    assert "bo\\x1b[31mom" in done.err
    assert "bo\\x1b[31mom" in done.out
    assert "\x1b" not in done.err + done.out


def test_what_the_job_would_not_run(funcs: Builder) -> None:
    """Neither what a condition refuses nor what waits for a failure; unless it is asked for."""
    funcs.tasks(
        """
        each: {mode: thread, function: 'm:notes', args: [each], foreach: '{{ tasks.first.output }}'}
        first: {mode: thread, function: 'm:notes', args: [first]}
        never: {mode: thread, function: 'm:notes', args: [never], when: '{{ params.full }}'}
        after: {mode: thread, function: 'm:notes', args: [after], needs: [first], run_when: failed}
        """,
        "params: {full: {type: bool, default: false}}",
    )
    done = funcs.orch("advise", "job.yaml", *MEASURE, "--json")
    assert done.code == 0, done.err
    book = funcs.root / "book"
    assert set(book.read_text().split()) == {"first", "each"}
    assert "its `when` says no" in done.tasks["never"]["reason"]
    book.unlink()
    asked = ("--task", "never", "--task", "after")
    assert funcs.orch("advise", "job.yaml", *MEASURE, *asked).code == 0
    assert set(book.read_text().split()) == {"never", "after"}


def test_the_question_counts_tries(funcs: Builder) -> None:
    """A function that may be tried again may be run as often."""
    funcs.tasks("a: {mode: thread, function: 'm:naps', retry: {attempts: 4, delay: 0}}")
    done = funcs.orch("advise", "job.yaml", "--measure", "--times", "1")
    assert "m:naps up to 44 times in each mode" in done.err


def test_a_signal_loses_nothing(funcs: Builder) -> None:
    """What was measured before it is kept, and that is said."""
    gate = funcs.gate("gate")
    funcs.module(
        """
        import time

        def waits():
            with open("gate", "w") as file:
                file.write("x")
            time.sleep(60)
        """,
        "slow",
    )
    funcs.tasks("""
        a: {mode: thread, function: 'm:naps'}
        b: {mode: process, function: 'slow:waits', needs: [a]}
    """)
    running = funcs.start_orch("advise", "job.yaml", *MEASURE)
    gate.wait()
    running.signal(signal.SIGTERM)
    done = running.finish()
    assert done.code == -signal.SIGTERM
    assert "what was measured until here is kept" in done.err
    found = funcs.orch("advise", "job.yaml", "--json").tasks
    assert [found[name]["evidence"] for name in "ab"] == ["measured", "none"]


@pytest.mark.parametrize("how", ["refuse", "wait"])
def test_one_run_at_a_time(funcs: Builder, how: str) -> None:
    """Where a run would not begin, or would wait, nothing is measured."""
    gate, go = funcs.gate("gate"), funcs.gate("go")
    funcs.module(
        """
        def holds():
            with open("gate", "w") as file:
                file.write("x")
            open("go").readline()
        """,
        "slow",
    )
    funcs.tasks("a: {mode: thread, function: 'slow:holds'}", f"concurrency: {how}")
    running = funcs.start()
    gate.wait()
    for command in (["advise", "job.yaml", *MEASURE], ["compare", "job.yaml", "a", "--yes"]):
        done = funcs.orch(*command)
        assert done.code == 4
        assert f"is under way: run {funcs.runs()[0].name} (process" in done.err
        assert f"(concurrency: {how})" in done.err
    go.open()
    assert running.finish().code == 0


def test_a_run_that_was_cut_off(funcs: Builder) -> None:
    """Who was under way then had something to do, and is not told otherwise."""
    funcs.module("import os\ndef f(): os._exit(3)\n", "ends")
    funcs.tasks("a: {mode: thread, function: 'ends:f'}")
    assert funcs.run().code == 3
    found = funcs.orch("advise", "job.yaml", "--json").tasks["a"]
    assert found["reason"] == "it was under way when the run was cut off: use --measure"


def test_how_long_it_takes_is_told(funcs: Builder) -> None:
    """Of what takes a while it is said as soon as it was run once."""
    funcs.tasks("a: {mode: thread, function: 'm:naps', args: [0.5]}")
    done = funcs.orch("advise", "job.yaml", *MEASURE)
    said = re.search(r"`a`: alone, then 2 at once, about ([\d.]+) s", done.err)
    assert said is not None
    assert 3 <= float(said[1]) <= 5


def test_twins_are_measured_once(funcs: Builder) -> None:
    """Tasks that call one function alike take the same, and have the same output."""
    funcs.tasks("""
        a: {mode: thread, function: 'm:notes', args: [x]}
        b: {mode: thread, function: 'm:notes', args: [x]}
        d: {mode: thread, function: 'm:naps', foreach: '{{ tasks.b.output }}'}
    """, "limits: {processes: 2}")  # fmt: skip
    done = funcs.orch("advise", "job.yaml", *MEASURE, "--json")
    found = done.tasks
    assert [found[name]["evidence"] for name in "abd"] == ["measured"] * 3
    assert len((funcs.root / "book").read_text().split()) == 22
    assert "`b` does what `a` does" in funcs.orch("advise", "job.yaml", *MEASURE).err


def _known(seconds: float, cpu: float, *modes: str) -> Known:
    shot = Shot(seconds, Cost(seconds, seconds * cpu, 0.0, gil_share=cpu), 0.0, seconds)
    return Known({mode: [shot] * 3 for mode in modes or ("thread", "process")}, runs=3)


def _judge(tasks: dict[str, PlanTask], known: dict[str, Known], processes: int = 2) -> Judge:
    plan = Plan("job", "/", tasks, threads=8, processes=processes)
    nothing = Overhead({False: [0.0], True: [0.0]}, [0.0])
    return Judge(plan, Evidence(known, overhead=nothing), 2)


def _task(name: str, mode: str, **fields: object) -> PlanTask:
    return PlanTask(name, ord(name), mode, function="m:f", **fields)  # type: ignore[arg-type]


def test_two_that_are_alike_do_not_change_places() -> None:
    """A process and a thread of one function stay what they are."""
    tasks = {"a": _task("a", "process"), "b": _task("b", "thread")}
    verdict = _judge(tasks, {name: _known(0.4, 1.0) for name in tasks}).verdict()
    assert {name: one.advised for name, one in verdict.tasks.items()} == {
        "a": "process", "b": "thread",
    }  # fmt: skip


def test_changes_that_are_only_right_together() -> None:
    """Of one that alone would save nothing it is said what it does with the others."""
    tasks = {
        "s": _task("s", "process", priority=1), "b": _task("b", "thread"), "c": _task("c", "thread")
    }  # fmt: skip
    tasks["s"].function = "m:g"
    known = {"s": _known(0.4, 0.0), "b": _known(0.4, 1.0), "c": _known(0.4, 1.0)}
    verdict = _judge(tasks, known, processes=1).verdict()
    changed = [one for one in verdict.tasks.values() if one.advised != one.mode]
    assert {one.task for one in changed} >= {"s"}
    assert verdict.advised_s == pytest.approx(0.4)
    assert all("with the other changes 0.40 s, and " in one.reason for one in changed)


def test_advice_that_saves_nothing(funcs: Builder) -> None:
    """A change for another reason is not praised for the time that it takes."""
    funcs.tasks("a: {mode: thread, function: 'm:hears'}\nb: {mode: thread, function: 'm:naps'}")
    done = funcs.orch("advise", "job.yaml", *MEASURE)
    assert "; as it is `a` fails; next: orch advise job.yaml --apply" in done.out
    assert "instead of" not in done.out.splitlines()[-1]


def _with_runs(*took: float, attempts: int = 2) -> Verdict:
    """Return the advice for two tasks that take 0.4 s, after runs that *took* so many seconds."""
    tasks = {"a": _task("a", "thread"), "b": _task("b", "process")}
    runs = [Whole(seconds, {"a": "thread", "b": "process"}, attempts) for seconds in took]
    runs.append(Whole(9.0, {"a": "process", "b": "process"}, 2))
    plan = Plan("job", "/", tasks, threads=8, processes=2)
    nothing = Overhead({False: [0.0], True: [0.0]}, [0.0])
    known = {name: _known(0.4, 1.0) for name in tasks}
    return Judge(plan, Evidence(known, overhead=nothing, wholes=runs), 2).verdict()


def test_runs_that_are_not_explained() -> None:
    """Where runs took another time than the replay says, the advice is less sure."""
    for verdict in (_with_runs(), _with_runs(0.45, 0.41, 2.0), _with_runs(9.0, attempts=3)):
        assert verdict.explained
        assert {one.confidence for one in verdict.tasks.values()} == {"medium"}
    verdict = _with_runs(0.8, 0.75, 0.41)
    assert not verdict.explained
    assert verdict.recorded_s == pytest.approx(0.75)
    assert {one.confidence for one in verdict.tasks.values()} == {"low"}


def test_what_runs_took_is_told(funcs: Builder) -> None:
    """Runs are compared with the replay where nothing failed in them, and no task was left out."""
    funcs.tasks("a: {mode: thread, function: 'm:naps'}\nb: {mode: thread, function: 'm:naps'}")
    assert funcs.run("--only", "a").code == 0
    assert funcs.orch("advise", "job.yaml", "--json").document["recorded_s"] is None
    took_s = funcs.run("--json").document["duration_s"]
    found = funcs.orch("advise", "job.yaml", "--json").document
    assert found["recorded_s"] == pytest.approx(took_s, abs=0.001)


def test_a_line_a_task(funcs: Builder) -> None:
    """Also for those that take no time, where there are few."""
    funcs.module("def f(): pass", "tiny")
    funcs.tasks("a: {mode: thread, function: 'tiny:f'}")
    done = funcs.orch("advise", "job.yaml", *MEASURE)
    assert done.out.splitlines()[1].split()[:4] == ["a", "thread", "-", "low"]
    assert "takes less than 1 ms" in done.out


def test_on_a_narrow_terminal(funcs: Builder) -> None:
    """The reasons stand below each other in their column, and no number without its unit."""
    funcs.tasks("a: {mode: thread, function: 'm:burns', foreach: {seconds: [0.05, 0.05]}}")
    assert funcs.orch("advise", "job.yaml", *MEASURE).code == 0
    ours, theirs = pty.openpty()
    shown = subprocess.Popen(
        [*COMMAND, "advise", "job.yaml"], stdin=theirs, stdout=theirs, stderr=subprocess.DEVNULL,
        cwd=funcs.root, env={**funcs.env, "COLUMNS": "70", "NO_COLOR": "1"},
    )  # fmt: skip
    os.close(theirs)
    said = b""
    with suppress(OSError):  # it has left the terminal
        while part := os.read(ours, 4096):
            said += part
    assert shown.wait(30) == 0
    os.close(ours)
    head, *lines = said.decode().split("\r\n\r\n")[0].split("\r\n")
    assert len(lines) > 1
    assert all(len(line) <= 70 for line in lines)
    assert all(line.startswith(" " * head.index("WHY")) for line in lines[1:])
    assert not any(re.match(r"\s*m?s\b", line) for line in lines)


def test_a_function_that_is_a_program(funcs: Builder) -> None:
    """Who only waits for what it starts is told that this could be a task; who computes is not."""
    funcs.module(
        """
        import subprocess
        from helpers import sleeps

        def waits():
            sleeps(0.1)

        def works():
            sum(range(3_000_000))
            subprocess.run(["true"], check=True)
        """,
        "progs",
    )
    funcs.module(
        """
        import subprocess as sp

        def sleeps(seconds):
            sp.run(["sleep", str(seconds)], check=True)
        """,
        "helpers",
    )
    funcs.tasks("""
        waits: {mode: thread, function: 'progs:waits'}
        works: {mode: thread, function: 'progs:works', needs: [waits]}
    """)
    assert funcs.run().code == 0
    found = funcs.orch("advise", "job.yaml", "--json").tasks
    said = "it waits for a program that it starts: that could be a task of its own"
    assert said in found["waits"]["reason"]
    assert said not in found["works"]["reason"]


def test_runs_that_are_too_large_to_be_read_before_one(funcs: Builder) -> None:
    """They are passed over, and that is known."""
    funcs.tasks("a: {mode: thread, function: 'm:naps'}")
    assert funcs.run().code == 0
    loaded = load(str(funcs.root / "job.yaml"))
    state = funcs.root / ".orch"
    assert recorded(loaded, state, 1).too_large == 1
    assert recorded(loaded, state).tasks["a"].runs == 1


def test_what_was_measured_is_damaged_in_parts(funcs: Builder) -> None:
    """Text where a number stood, or nothing: as if it had never been measured."""
    funcs.tasks("a: {mode: auto, function: 'm:naps'}")
    assert funcs.orch("advise", "job.yaml", *MEASURE).code == 0
    path = Path(funcs.root, ".orch", "measured.json")
    good = path.read_text()

    def with_entry(key: str, value: object) -> str:
        jobs = json.loads(good)
        (job,) = jobs.values()
        job["tasks"]["a"][key] = value
        return json.dumps(jobs)

    for text in (
        with_entry("shots", {"thread": []}), with_entry("shots", {"thread": [["x", [], 0, None]]}),
        with_entry("first_s", "x"), with_entry("together", {"thread": ["x"] * 4}),
        with_entry("barred", 3),
    ):  # fmt: skip
        path.write_text(text)
        done = funcs.orch("advise", "job.yaml", "--json")
        assert (done.code, done.tasks["a"]["evidence"]) == (0, "none"), done.err
        assert funcs.run("-q").code == 0
        Path(funcs.root, ".orch", "modes.lock").unlink(missing_ok=True)
        for run in Path(funcs.root, ".orch", "runs").iterdir():
            for file in run.iterdir():
                file.unlink()
            run.rmdir()
