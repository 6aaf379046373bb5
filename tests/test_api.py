"""orch from Python: ``load_job`` and ``run_job``."""
# ruff: noqa: SIM300 - expected == actual

import os
import sys
import threading
import warnings
from pathlib import Path

import pytest

from orchestrator import OrchError, RunResult, SpecError, TaskResult, load_job, run_job
from orchestrator.errors import EnvironmentFault, UsageError
from tests.builder import Builder

MODULE = """
import os

def f(value=1):
    print("printed")
    return value

def bad():
    raise ValueError("no such luck")

def meddle():
    os.environ["MEDDLED"] = "1"
    return [os.getcwd(), os.environ["TZ_OF_JOB"], os.environ["ORCH_RUN_ID"]]
"""
TASKS = """
a: {mode: thread, function: "MODULE:f", args: ["{{ params.top }}"]}
b: {mode: process, function: "MODULE:bad"}
c: {mode: subprocess, command: [echo, x], output: stdout, foreach: [1, 2]}
"""


@pytest.fixture
def lib(job: Builder, monkeypatch: pytest.MonkeyPatch) -> Builder:
    """Give a job whose module has a name of its own, as modules stay imported."""
    name = f"lib_{job.root.name}"
    monkeypatch.setattr(sys, "path", [*sys.path])
    job.module(MODULE, name)
    job.file("MODULE", name)
    job.tasks(TASKS.replace("MODULE", name), "params: {top: {type: int}}")
    return job


def _tasks(lib: Builder, text: str, head: str = "") -> Path:
    lib.tasks(text.replace("MODULE", (lib.root / "MODULE").read_text()), head)
    return lib.root / "job.yaml"


def test_job_is_loaded_without_its_parameters(lib: Builder) -> None:
    """``load_job`` needs no values; it knows the job's name, file and tasks."""
    job = load_job(lib.root / "job.yaml")
    assert ("job", lib.root / "job.yaml") == (job.name, job.file)
    assert ["a", "b", "c"] == list(job.plan.tasks)


def test_result_is_typed(lib: Builder) -> None:
    """``run_job`` returns what ``run --json`` prints, typed; failing tasks raise nothing."""
    result = run_job(load_job(lib.root / "job.yaml"), params={"top": 5})
    assert isinstance(result, RunResult)
    assert ("job", "failed", 1, False) == (result.job, result.state, result.exit_code, result.ok)
    a, b = result.tasks["a"], result.tasks["b"]
    assert isinstance(a, TaskResult)
    assert (5, "thread", 1, "ok", None) == (a.output, a.mode, a.attempts, a.outcome, a.error)
    assert ("ValueError", "no such luck") == (b.error.type, b.error.message)
    assert "in bad" in b.error.traceback


def test_instances_are_typed(lib: Builder) -> None:
    """The instances of a task are results too."""
    whole = run_job(lib.root / "job.yaml", {"top": 1}).tasks["c"]
    assert ["x", "x"] == whole.output
    assert ["c.0", "c.1"] == list(whole.instances)
    assert "x\n" == whole.instances["c.1"].stdout.read_text()


def test_result_equals_what_show_prints(lib: Builder) -> None:
    """The typed result and ``show --json`` agree."""
    result = run_job(lib.root / "job.yaml", {"top": 1})
    document = lib.orch("show", "--json").document
    assert (document["run"], document["duration_s"]) == (result.run, result.duration_s)
    assert [task["duration_s"] for task in document["tasks"].values()] == [
        task.duration_s for task in result.tasks.values()
    ]


def test_only_and_skip(lib: Builder) -> None:
    """``only`` and ``skip`` choose as their options do."""
    result = run_job(lib.root / "job.yaml", {"top": 1}, only=["a"])
    assert {"a": "succeeded", "b": "skipped", "c": "skipped"} == {
        name: task.state for name, task in result.tasks.items()
    }
    assert result.ok
    assert run_job(lib.root / "job.yaml", {"top": 1}, skip=["b"]).ok


def test_wrong_file_raises_all_its_errors(lib: Builder) -> None:
    """``SpecError`` carries every problem with its place."""
    path = _tasks(lib, "a: {mode: tread}\nb: {mode: thread}\n")
    with pytest.raises(SpecError) as caught:
        load_job(path)
    assert [2, 3] == [report.mark.line for report in caught.value.reports]


@pytest.mark.parametrize("params", [{}, {"top": "many"}, {"top": 1, "nope": 1}])
def test_wrong_parameters_raise(lib: Builder, params: dict[str, object]) -> None:
    """Missing, mistyped and unknown parameters are ``UsageError``; nothing was started."""
    with pytest.raises(UsageError):
        run_job(lib.root / "job.yaml", params)
    assert [] == lib.runs()


def test_missing_file_and_state_directory_raise(lib: Builder) -> None:
    """What a shell gets as exit code 3 or 4 is an exception of its own here."""
    with pytest.raises(SpecError):
        load_job(lib.root / "gone.yaml")
    with pytest.raises(EnvironmentFault):
        run_job(lib.root / "job.yaml", {"top": 1}, state_dir=lib.root / "job.yaml")
    assert issubclass(EnvironmentFault, OrchError)


def test_surroundings_are_put_back(lib: Builder) -> None:
    """Environment, directory, streams, ``Thread.start``, switch interval are as before."""
    path = _tasks(lib, "a: {mode: thread, function: 'MODULE:meddle'}", "env: {TZ_OF_JOB: UTC}")
    seen = lambda: (  # noqa: E731 - looked at twice
        dict(os.environ), os.getcwd(), sys.stdout, sys.stderr, threading.Thread.start,
        sys.getswitchinterval(),
    )  # fmt: skip
    before = seen()
    result = run_job(path)
    os.environ.pop("MEDDLED", None)  # a task's own doing
    assert [str(lib.root), "UTC", result.run] == result.tasks["a"].output
    assert before == seen()


def test_warning_filters_are_put_back(lib: Builder) -> None:
    """A run leaves the caller's warning filters as they were."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        before = warnings.filters[:]
        run_job(lib.root / "job.yaml", {"top": 1}, only=["a"])
        assert before == warnings.filters


def test_jobs_with_modules_of_one_name(lib: Builder) -> None:
    """The second of two jobs whose modules bear one name runs its own, not the first one's."""
    outputs = []
    for folder in ("one", "two"):
        lib.file(f"{folder}/same_{lib.root.name}.py", f"def f(): return {folder!r}")
        job = f"tasks: {{a: {{mode: thread, function: 'same_{lib.root.name}:f'}}}}"
        outputs.append(run_job(lib.file(f"{folder}/job.yaml", job)).tasks["a"].output)
    assert ["one", "two"] == outputs


def test_module_search_path_is_put_back(lib: Builder) -> None:
    """A run leaves ``sys.path`` as it was."""
    before = [*sys.path]
    run_job(lib.root / "job.yaml", {"top": 1}, only=["a"])
    assert before == sys.path


def test_task_output_does_not_mix_with_the_caller_s(
    lib: Builder, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a thread task prints is in its file, and not on the caller's stdout."""
    result = run_job(lib.root / "job.yaml", {"top": 1}, only=["a"])
    assert "printed\n" == result.tasks["a"].stdout.read_text()
    assert ("", "") == capsys.readouterr()


def test_runs_from_another_thread(lib: Builder) -> None:
    """``run_job`` works outside of the main thread, where signals cannot be handled."""
    results: list[RunResult] = []
    path = lib.root / "job.yaml"
    thread = threading.Thread(target=lambda: results.append(run_job(path, {"top": 1}, only=["a"])))
    thread.start()
    thread.join()
    assert [True] == [result.ok for result in results]


def test_two_runs_in_a_row_are_two_runs(lib: Builder) -> None:
    """Each call is a run of its own, and the second one sees the first one's outcome kept."""
    first, second = (run_job(lib.root / "job.yaml", {"top": n}, only=["a"]) for n in (1, 2))
    assert (1, 2) == (first.tasks["a"].output, second.tasks["a"].output)
    assert {first.folder, second.folder} == set(lib.runs())


def test_names_of_the_package() -> None:
    """All that ``orchestrator`` promises is there."""
    import orchestrator  # noqa: PLC0415 - looked at as a whole

    assert [] == [name for name in orchestrator.__all__ if not hasattr(orchestrator, name)]
