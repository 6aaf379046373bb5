"""Advice that can be taken: modes that fit, promises of the job kept while it is measured."""

import os
import signal

import pytest

from orchestrator.advice.evidence import Evidence
from orchestrator.advice.judge import Judge
from orchestrator.advice.known import Crowd, Known
from orchestrator.advice.overhead import Overhead
from orchestrator.advice.shots import Shot
from orchestrator.events import Cost
from orchestrator.plan.model import Plan, PlanTask
from tests.builder import Builder

MEASURE = ("--measure", "--yes", "--times", "1")
MODULE = """
    import os
    import time

    def sleeps(seconds=0.02):
        time.sleep(seconds)

    def burns(seconds=0.1):
        until = time.thread_time() + seconds
        while time.thread_time() < until:
            pass

    def alone(seconds=0.02):
        os.close(os.open("lock", os.O_CREAT | os.O_EXCL))
        time.sleep(seconds)
        os.unlink("lock")

    def flaky():
        with open("tries", "a") as file:
            file.write(".")
        if os.path.getsize("tries") % 2:
            raise ValueError("not this time")

    def value():
        return 0.01

    def reads(items):
        return list(items)
"""


@pytest.fixture
def funcs(job: Builder) -> Builder:
    """Return a builder with functions that compute, wait, and want to be alone."""
    job.module(MODULE)
    return job


@pytest.mark.parametrize("key", ["env: {WHO: me}", "leftovers: warn"])
def test_a_mode_that_does_not_go_with_a_key(funcs: Builder, key: str) -> None:
    """Such a task stays a process, and is measured as nothing else."""
    funcs.tasks(f"a: {{mode: process, function: 'm:sleeps', {key}}}")
    done = funcs.orch("advise", "job.yaml", *MEASURE, "--json")
    assert done.tasks["a"]["advised"] == "process"
    assert set(done.tasks["a"]["seconds"]) == {"process"}
    rows = funcs.orch("compare", "job.yaml", "a", "--yes", "--times", "1", "--json").document
    assert [row["mode"] for row in rows["modes"]] == ["process"]


@pytest.mark.parametrize(
    "head",
    [
        "resources: {lock: 1}\ndefaults: {resources: {lock: 1}}",
        "limits: {threads: 1, processes: 1}",
    ],
)
def test_what_runs_alone_is_measured_alone(funcs: Builder, head: str) -> None:
    """Resources and limits of the job hold while it is measured."""
    funcs.tasks("a: {mode: thread, function: 'm:alone', foreach: {i: [1, 2, 3]}}", head)
    done = funcs.orch("advise", "job.yaml", *MEASURE, "--json")
    assert done.code == 0, done.err
    assert done.tasks["a"]["evidence"] == "measured"


def test_one_that_never_runs_twice_at_once(funcs: Builder) -> None:
    """A task without instances that fails beside itself is measured alone."""
    funcs.tasks("a: {mode: thread, function: 'm:alone'}")
    done = funcs.orch("advise", "job.yaml", *MEASURE, "--json")
    assert done.tasks["a"]["evidence"] == "measured"
    assert "at once" not in done.tasks["a"]["reason"]


def test_a_flaky_one_may_try_again(funcs: Builder) -> None:
    """Retries count in trials as they do in runs."""
    funcs.tasks(
        "a: {mode: thread, function: 'm:flaky', retry: {attempts: 9, delay: 0}}",
        "limits: {threads: 1, processes: 1}",
    )
    done = funcs.orch("advise", "job.yaml", *MEASURE, "--json")
    assert done.tasks["a"]["evidence"] == "measured"
    assert "stopping" not in done.err


def test_outputs_that_were_just_made(funcs: Builder) -> None:
    """A task that needs an output can be measured after the one that makes it."""
    funcs.tasks("""
        a: {mode: thread, function: 'm:value'}
        b: {mode: thread, function: 'm:sleeps', args: ['{{ tasks.a.output }}']}
    """)
    done = funcs.orch("advise", "job.yaml", *MEASURE, "--json")
    assert done.tasks["b"]["evidence"] == "measured"


def test_modules_see_the_environment_of_the_job(
    funcs: Builder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where their imports are timed."""
    monkeypatch.setenv("DB", "production")
    text = "import os\nopen('seen', 'a').write(os.environ['DB'] + '\\n')\ndef f(): pass"
    funcs.module(text, "asks")
    funcs.tasks("a: {mode: thread, function: 'asks:f'}", "env: {DB: test}")
    assert funcs.orch("advise", "job.yaml", *MEASURE).code == 0
    assert set((funcs.root / "seen").read_text().split()) == {"test"}


def test_a_signal_while_imports_are_timed(job: Builder) -> None:
    """It ends the command, and leaves nothing behind."""
    gate = job.gate("gate")
    job.module("import time\nopen('gate', 'w').write('x')\ntime.sleep(60)\ndef f(): pass", "slow")
    job.tasks("a: {mode: thread, function: 'slow:f'}")
    running = job.start_orch("advise", "job.yaml", *MEASURE)
    gate.wait()
    running.signal(signal.SIGTERM)
    assert running.finish().code == -signal.SIGTERM
    assert not list((job.root / ".orch" / "trials").iterdir())


def test_what_was_measured_is_kept(funcs: Builder) -> None:
    """Until the function changes: ``--apply`` need not measure again."""
    funcs.tasks(
        "a: {mode: process, function: 'm:value', foreach: {i: [1, 2, 3, 4]}}",
        "limits: {processes: 2}",
    )
    told = funcs.orch("advise", "job.yaml", *MEASURE, "--state-dir", "kept")
    assert "next: orch advise job.yaml --state-dir kept --apply" in told.out
    done = funcs.orch("advise", "job.yaml", "--apply", "--state-dir", "kept")
    assert "+  a: {mode: thread," in done.out
    again = funcs.orch("advise", "job.yaml", "--json", "--state-dir", "kept")
    assert again.tasks["a"]["evidence"] == "measured"
    funcs.module(MODULE.replace("return 0.01", "return 0.02"))
    changed = funcs.orch("advise", "job.yaml", "--json", "--state-dir", "kept")
    assert changed.tasks["a"]["evidence"] == "none"


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", '{"job": 1}', '{"job": {"tasks": 3}}', '{"job": {"tasks": {"a": {}}}}',
        '{"job": {"tasks": {}, "runs": [["x"], [], []], "imports": {}}}',
    ],
)  # fmt: skip
def test_a_damaged_memory_of_measurements(funcs: Builder, text: str) -> None:
    """It is as if it were not there."""
    funcs.tasks("a: {mode: thread, function: 'm:value'}", "name: job")
    funcs.file(".orch/measured.json", text)
    os.chmod(funcs.root / ".orch", 0o700)
    done = funcs.orch("advise", "job.yaml", "--json")
    assert done.code == 0, done.err
    assert done.tasks["a"]["evidence"] == "none"
    done = funcs.orch("advise", "job.yaml", *MEASURE, "--json")
    assert done.code == 0, done.err
    assert funcs.orch("advise", "job.yaml", "--json").tasks["a"]["evidence"] == "measured"


def test_what_is_not_known_is_said(funcs: Builder) -> None:
    """A job of which a part is unknown takes at least what the rest does."""
    funcs.tasks("""
        a: {mode: thread, function: 'm:value'}
        b: {mode: thread, function: 'm:sleeps'}
    """)
    done = funcs.orch("advise", "job.yaml", *MEASURE, "--task", "a")
    assert "as far as is known the modes are right: a run takes at least about" in done.out
    assert "nothing is known of `b`" in done.out


def test_who_cannot_run_by_itself(funcs: Builder) -> None:
    """A member of a pipeline that is asked for by name is refused, not passed over."""
    funcs.tasks(
        """
        a: {mode: subprocess, command: [seq, '3'], publish: q}
        b: {mode: thread, function: 'm:reads', consume: q}
        """,
        "queues: {q: {}}",
    )
    done = funcs.orch("advise", "job.yaml", *MEASURE, "--task", "b")
    assert done.code == 2
    assert "`b` cannot be run by itself" in done.err


def test_how_often_is_said_in_advance(funcs: Builder) -> None:
    """The question counts what all tasks of a function do together."""
    funcs.tasks("""
        a: {mode: thread, function: 'm:value'}
        b: {mode: thread, function: 'm:value'}
    """)
    done = funcs.orch("advise", "job.yaml", "--measure", "--times", "1")
    assert "m:value up to 22 times in each mode" in done.err


def _shot(seconds: float, cpu: float, item: int | None = None) -> Shot:
    cost = Cost(seconds, seconds * cpu, 0.0, gil_share=cpu)
    return Shot(seconds, cost, 0.0, seconds, item=item)


def _judge(plan: Plan, **known: Known) -> Judge:
    nothing = Overhead({False: [0.0], True: [0.0]}, [0.0])
    return Judge(plan, Evidence(known, overhead=nothing), 2)


def _task(name: str, mode: str, **fields: object) -> PlanTask:
    return PlanTask(name, ord(name), mode, function="m:f", **fields)  # type: ignore[arg-type]


def test_items_that_differ() -> None:
    """Each instance takes what its item takes; of those not seen some take what others take."""
    sizes = [0.1, 0.1, 1.0, 1.0]
    shots = {
        mode: [_shot(s, 1.0, i) for i, s in enumerate(sizes)] for mode in ("thread", "process")
    }
    plan = Plan("job", "/", {"a": _task("a", "thread", items=[0] * 4)}, threads=8, processes=2)
    judge = _judge(plan, a=Known(shots, runs=1))
    assert judge.time({"a": "thread"}) == pytest.approx(2.2)
    assert judge.time({"a": "process"}) == pytest.approx(1.1)
    more = Plan("job", "/", {"a": _task("a", "thread", items=[0] * 8)}, threads=8, processes=2)
    assert _judge(more, a=Known(shots, runs=1)).time({"a": "thread"}) == pytest.approx(4.4)


def test_a_lock_of_their_own() -> None:
    """What several take more for want of neither GIL nor processors nobody else waits for."""
    plan = Plan("job", "/", {
        name: _task(name, "thread", items=[0] * 4) for name in ("a", "b", "c")
    }, threads=8, processes=8)  # fmt: skip
    waits = _shot(0.5, 0.0)
    crowd = Crowd(2.0, 1.0, 4.0, 4)
    known = {
        name: Known(
            {mode: [waits] * 3 for mode in ("thread", "process")},
            {"thread": crowd, "process": crowd}, measured=True,
        )
        for name in plan.tasks
    }  # fmt: skip
    verdict = _judge(plan, **known).verdict()
    assert verdict.now_s == pytest.approx(2.5)  # the slots of c come free one by one
    assert verdict.advised_s == pytest.approx(2.0)  # as other slots are taken


def test_modes_that_are_swapped() -> None:
    """Computing on threads and waiting in processes: neither change helps without the other."""
    plan = Plan("job", "/", {
        "a": _task("a", "thread", items=[0] * 4), "b": _task("b", "process", items=[0] * 8),
    }, threads=8, processes=2)  # fmt: skip
    known = {
        name: Known({mode: [_shot(0.4, cpu)] * 3 for mode in ("thread", "process")}, runs=3)
        for name, cpu in (("a", 1.0), ("b", 0.0))
    }
    verdict = _judge(plan, **known).verdict()
    assert {name: one.advised for name, one in verdict.tasks.items()} == {
        "a": "process", "b": "thread",
    }  # fmt: skip
    assert verdict.advised_s == pytest.approx(0.8)
    assert verdict.tasks["a"].saves_s == pytest.approx(0.8)


def test_only_what_is_asked_for_moves() -> None:
    """With ``--task`` the others stay, in what is advised and in what is promised."""
    plan = Plan("job", "/", {
        "a": _task("a", "thread", items=[0] * 4), "b": _task("b", "process", items=[0] * 8),
    }, threads=8, processes=2)  # fmt: skip
    known = {
        name: Known({mode: [_shot(0.4, cpu)] * 3 for mode in ("thread", "process")}, runs=3)
        for name, cpu in (("a", 1.0), ("b", 0.0))
    }
    verdict = _judge(plan, **known).verdict(["a"])
    assert verdict.tasks["a"].advised == "thread"
    assert verdict.advised_s == verdict.now_s


def test_an_interpreter_that_computes_may_stay() -> None:
    """Only who holds orch's own GIL for long has to go; an interpreter has one of its own."""
    held = Shot(0.5, Cost(0.5, 0.5, 0.0, gil_share=1.0, gil_longest_s=0.2), 0.0, 0.5)
    shots = {"thread": [held] * 3, "process": [_shot(0.5, 1.0)] * 3, "interpreter": [held] * 3}
    plan = Plan("job", "/", {"a": _task("a", "interpreter")}, threads=8, processes=2)
    assert _judge(plan, a=Known(shots, runs=3)).verdict().tasks["a"].advised == "interpreter"


def test_crowds_of_items_that_differ() -> None:
    """What several took together is compared with what the same items take one by one."""
    shots = {mode: [_shot(s, 1.0, i) for i, s in enumerate([0.1, 0.9])] * 2
             for mode in ("thread", "process")}  # fmt: skip
    together = {"thread": Crowd(1.0, 1.0, 1.0 / 0.9, 2), "process": Crowd(0.9, 0.9, 1.0, 2)}
    plan = Plan("job", "/", {"a": _task("a", "thread", items=[0] * 2)}, threads=8, processes=2)
    judge = _judge(plan, a=Known(shots, together, measured=True))
    assert judge.time({"a": "thread"}) == pytest.approx(1.0)
    assert judge.time({"a": "process"}) == pytest.approx(0.9)
