"""What a run takes besides its work: its beginning, the server that forks, imports, first calls."""

import os

import pytest

from orchestrator.advice.crowd import served
from orchestrator.advice.evidence import Evidence
from orchestrator.advice.judge import Judge
from orchestrator.advice.known import Crowd, Known
from orchestrator.advice.overhead import Overhead, of_imports
from orchestrator.advice.replay import Load, replay
from orchestrator.advice.shots import Shot
from orchestrator.events import Cost
from orchestrator.plan.model import Plan, PlanTask
from tests.builder import Builder


def _process(started: float, startup: float, imports: float, wall: float) -> Shot:
    cost = Cost(wall, wall, startup, imports)
    return Shot(startup + wall, cost, started, started + startup + wall)


def test_what_processes_waited_for_their_server() -> None:
    """Who was launched before the server was there waited for it; who came later did not."""
    shots = [_process(0.1, 0.084, 0.02, 1.0), _process(0.12, 0.065, 0.02, 1.0)]
    late = _process(0.5, 0.024, 0.02, 1.0)
    found, server_s = served([*shots, late])
    assert server_s == pytest.approx(0.06)  # 4 ms of the latest are what a fork takes
    assert [shot.lost_s for shot in found] == [pytest.approx(0.06), pytest.approx(0.04), 0.0]


def test_no_processes_and_programs() -> None:
    """A run without processes had no server; who does not tell of its start waited for nothing."""
    assert served([]) == ([], 0.0)
    shot = Shot(1.0, Cost(1.0, 1.0, None), 0.0, 1.0)
    assert served([shot]) == ([shot], 0.0)


def _plan(*functions: str, mode: str = "thread", **fields: object) -> Plan:
    tasks = {
        name: PlanTask(name, order, mode, function=function, **fields)  # type: ignore[arg-type]
        for order, (name, function) in enumerate(zip("abcdef", functions, strict=False))
    }
    return Plan("job", "/", tasks, threads=8, processes=2)


def test_a_module_is_imported_once() -> None:
    """Threads that are launched while their module is imported wait for it; processes import it."""
    loads = dict.fromkeys("abc", (Load(1.0),))
    imports = {"m": 0.5}
    assert replay(_plan("m:f", "m:g", "n:f"), loads, 2, imports=imports) == pytest.approx(1.5)
    assert replay(_plan("m:f", mode="process"), loads, 2, imports=imports) == pytest.approx(1.0)
    chain = _plan("m:f", "m:g")
    chain.tasks["b"].needs = ("a",)
    assert replay(chain, loads, 2, imports=imports) == pytest.approx(2.5)


@pytest.mark.parametrize("mode", ["thread", "process"])
@pytest.mark.parametrize("together", [1.0, 1.5, 2.0, 2.6])
def test_as_many_at_once_as_were_measured(mode: str, together: float) -> None:
    """What was seen of several at once is what is predicted of as many, also of those that lose."""
    plan = _plan("m:f", mode=mode, items=[0, 0])
    shot = Shot(1.0, Cost(1.0, 1.0, 0.0, gil_share=1.0), 0.0, 1.0)
    known = Known({mode: [shot]}, {mode: Crowd(together, together / 2, together, 2)}, measured=True)
    nothing = Overhead({False: [0.0], True: [0.0]}, [0.0])
    judge = Judge(plan, Evidence({"a": known}, overhead=nothing), 2)
    assert judge.time({"a": mode}) == pytest.approx(together)


def test_begins_that_were_measured_count_more() -> None:
    """They are of the same minute as the work; what they do not tell is known from before."""
    seen = Overhead({False: [0.1], True: [0.2]}, [0.4], {"m": 0.1})
    seen.learn(Overhead({False: [0.03, 0.05], True: []}, [], {"n": 0.2}))
    assert seen.begins_s(processes=False) == pytest.approx(0.04)
    assert seen.begins_s(processes=True) == pytest.approx(0.2)
    assert seen.server_s == pytest.approx(0.4)
    assert seen.imports == {"m": 0.1, "n": 0.2}


def test_begins_are_taken_for_granted() -> None:
    """Until a run was seen there is a guess, in which processes take longer."""
    assert 0.0 < Overhead().begins_s(processes=False) < Overhead().begins_s(processes=True) < 1.0
    seen = Overhead({True: [0.5]})
    assert 0.0 < seen.begins_s(processes=False) < 0.5


def test_trials_begin_as_runs_do(job: Builder) -> None:
    """Each is a run in a process of its own, which has imported what a run has.

    In the state directory of the job they leave nothing.
    """
    job.module(
        """
        import os
        import sys

        def f():
            with open("seen", "a") as file:
                file.write(f"{os.getpid()} {' '.join(sorted(sys.modules))}\\n")
        """
    )
    job.tasks("a: {mode: thread, function: 'm:f'}")
    done = job.orch("advise", "job.yaml", "--measure", "--yes", "--times", "1", "--json")
    assert done.code == 0, done.err
    measured = [line.split() for line in (job.root / "seen").read_text().splitlines()]
    assert job.runs() == []
    (job.root / "seen").unlink()
    for _ in range(2):  # the second time orch knows the file
        assert job.run("-q").code == 0
    (*_, run) = (line.split() for line in (job.root / "seen").read_text().splitlines())
    threads = [seen for seen in measured if "orchestrator.runners.threads" in seen]
    assert len({seen[0] for seen in threads}) > 2
    own = {
        "orchestrator.cli.trial",
        "orchestrator.advice",
        "orchestrator.advice.staging",
        "runpy",
        "_json",
    }
    assert set(threads[-1][1:]) - set(run[1:]) - own == set()
    assert set(run[1:]) - set(threads[-1][1:]) <= {
        "orchestrator.cli.start",
        "orchestrator.cli.plain",
    }


def test_imports_are_timed_one_after_the_other(job: Builder) -> None:
    """What one module has imported the next one has for nothing; what fails is left out."""
    job.module("import time; time.sleep(0.2)", "slow")
    job.module("print('hello'); import slow", "first")
    job.module("import slow", "second")
    job.module("raise SystemExit(3)", "leaves")
    found = of_imports(str(job.root), os.environ, ["first", "leaves", "second", "not_there"])
    assert set(found) == {"first", "second"}
    assert found["first"] >= 0.2 > found["second"]


def test_imports_that_end_python(job: Builder) -> None:
    """Then nothing is known of any."""
    job.module("import os; os._exit(0)", "ends")
    assert of_imports(str(job.root), os.environ, ["ends"]) == {}


def test_imports_are_measured_where_no_more_was_imported_than_in_a_run(job: Builder) -> None:
    """What is there already takes no time: it would be missing."""
    job.module(
        """
        import os
        import sys

        with open(os.environ["SEEN"], "w") as file:
            file.write(" ".join(sys.modules))

        def f(): pass
        """
    )
    job.tasks("a: {mode: thread, function: 'm:f'}")
    seen = [job.root / "run", job.root / "measured"]
    for _ in range(2):  # the second time orch knows the file
        assert job.run("-q", SEEN=str(seen[0])).code == 0
    assert of_imports(str(job.root), {**os.environ, "SEEN": str(seen[1])}, ["m"]).keys() == {"m"}
    in_run, measured = (set(file.read_text().split()) for file in seen)
    own = {name for name in measured if name.partition(".")[0] == "orchestrator"}
    assert measured - in_run - own == set()


SLOW = """
    import time

    time.sleep(0.3)
    seen = []

    def first_is_slow(i=0):
        if not seen:
            seen.append(i)
            time.sleep(0.3)
"""


def test_first_calls_and_imports_count(job: Builder) -> None:
    """A thread pays once for what each process pays for: the import, and what a first call does."""
    job.module(SLOW)
    job.tasks(
        "a: {mode: thread, function: 'm:first_is_slow', foreach: {i: [1, 2, 3, 4]}}",
        "limits: {threads: 1, processes: 1}",
    )
    done = job.orch("advise", "job.yaml", "--measure", "--yes", "--json", "--times", "2")
    assert done.code == 0, done.err
    seconds = done.tasks["a"]["seconds"]
    assert 0.6 < seconds["thread"] < 1.2
    assert seconds["process"] > 2.4
    assert job.run().code == 0
    recorded = job.orch("advise", "job.yaml", "--json").tasks["a"]["seconds"]
    assert recorded["thread"] > 0.3


def test_recorded_processes_without_their_server(job: Builder) -> None:
    """The wait of the first ones for the server is told apart from what a process takes."""
    job.module("def f(): pass")
    job.tasks("a: {mode: process, function: 'm:f'}")
    for _ in range(2):
        assert job.run().code == 0
    found = job.orch("advise", "job.yaml", "--json").tasks["a"]
    assert found["evidence"] == "2 recorded"
    took = [run["duration_s"] for run in job.orch("runs", "--json").document]
    assert min(took) * 0.9 < found["seconds"]["process"] <= max(took)
