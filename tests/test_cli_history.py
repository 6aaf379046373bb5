"""``orch runs``, ``show``, ``logs``, ``stop``: what was, and what is under way."""
# ruff: noqa: SIM300 - expected == actual

import signal

import pytest

from tests.builder import Background, Builder, Gate

MODULE = """
import sys

def f(value=1):
    print("out of", value)
    print("err of", value, file=sys.stderr)
    return value

def bad():
    f()
    raise ValueError("no such luck")
"""
TASKS = """
a: {mode: thread, function: "m:f"}
b: {mode: process, function: "m:bad", needs: [a], retry: {attempts: 2, delay: 0}}
"""
WAITS = """
a: {mode: subprocess, shell: true, command: 'echo one; read x < gate; echo two'}
b: {mode: subprocess, command: ['true'], needs: [a]}
"""


def _ran(job: Builder) -> Builder:
    job.module(MODULE)
    job.tasks(TASKS)
    job.run("-q")
    return job


@pytest.fixture(scope="module")
def past(shared_job: Builder) -> Builder:
    """Give a job that ran once, to be looked at only."""
    return _ran(shared_job)


@pytest.fixture
def own(job: Builder) -> Builder:
    """Give a job that ran once, and may run again."""
    return _ran(job)


@pytest.fixture
def waiting(job: Builder) -> tuple[Background, Gate]:
    """Give a run whose task waits at a gate."""
    gate = job.gate("gate")
    job.tasks(WAITS)
    running = job.start()
    running.wait_for("started")
    return running, gate


# runs


def test_no_runs_is_an_empty_list(job: Builder) -> None:
    """Where nothing ran ``runs --json`` is ``[]``."""
    done = job.orch("runs", "--json", "--state-dir", "state")
    assert (0, []) == (done.code, done.document)


def test_runs_are_listed_newest_first(own: Builder) -> None:
    """``runs --json`` has a line for each run, with exactly these keys."""
    (first,) = own.runs()
    first.rename(first.with_name("20200101-000000-aaaaaa"))
    own.tasks("a: {mode: thread, function: 'm:f'}", "name: other")
    own.run("-q")
    found = own.orch("runs", "--json").document
    assert [("other", "succeeded", 0), ("job", "failed", 1)] == [
        (run["job"], run["state"], run["exit_code"]) for run in found
    ]
    assert [own.runs()[-1].name, "20200101-000000-aaaaaa"] == [run["run"] for run in found]
    keys = ["run", "job", "state", "exit_code", "started_at", "duration_s"]
    assert [keys, keys] == [list(run) for run in found]


def test_runs_as_a_table(past: Builder) -> None:
    """Without ``--json`` there is a line of columns for each run."""
    head, line = past.orch("runs").out.splitlines()
    assert ["RUN", "JOB", "STATE", "EXIT", "STARTED", "TOOK"] == head.split()
    assert [past.runs()[0].name, "job", "failed", "1"] == line.split()[:4]


def test_runs_are_found_from_below(past: Builder) -> None:
    """``.orch`` is looked for upward from where the command is called."""
    (past.root / "deep/er").mkdir(parents=True, exist_ok=True)
    assert 1 == len(past.orch("runs", "--json", cwd="deep/er").document)


def test_state_directory_from_the_environment(own: Builder) -> None:
    """``ORCH_STATE_DIR`` names the state directory for all commands."""
    own.run("-q", ORCH_STATE_DIR="state")
    assert 1 == len(own.orch("runs", "--json", ORCH_STATE_DIR="state").document)
    assert 1 == len(own.orch("runs", "--json").document)


@pytest.mark.usefixtures("waiting")
def test_live_run_is_running(job: Builder) -> None:
    """A run under way is ``running``, without exit code and duration."""
    (run,) = job.orch("runs", "--json", "--live").document
    assert ("running", None, None) == (run["state"], run["exit_code"], run["duration_s"])


# show


@pytest.mark.parametrize("how", ["id", "last part", "prefix", "last"])
def test_run_is_named(past: Builder, how: str) -> None:
    """A run is named by its id, its last part, a unique prefix of that, or ``last``."""
    whole = past.runs()[0].name
    last = whole.rpartition("-")[2]
    names = {"id": [whole], "last part": [last], "prefix": [last[:3]], "last": ["last"]}
    assert whole == past.orch("show", "--json", *names[how]).document["run"]


def test_unknown_run_is_a_usage_error(past: Builder) -> None:
    """A name that no run bears is 2, and says what to do next."""
    done = past.orch("show", "zzzzzz")
    assert (2, "") == (done.code, done.out)
    assert "no run `zzzzzz`" in done.err
    assert "orch runs" in done.err


def test_last_is_the_newest(own: Builder) -> None:
    """``last`` is the run that started last, also of two that started within one second."""
    ids = [own.run("--json").document["run"] for _ in range(2)]
    assert ids[1] == own.orch("show", "last", "--json").document["run"]
    assert ids[::-1] == [each["run"] for each in own.orch("runs", "--json").document][:2]


@pytest.mark.usefixtures("waiting")
def test_show_of_a_live_run(job: Builder) -> None:
    """While a run lives its code and duration are null; what has not started is ``waiting``."""
    document = job.orch("show", "--json").document
    assert ("running", None, None) == tuple(
        document[key] for key in ("state", "exit_code", "duration_s")
    )
    assert {"a": "running", "b": "waiting"} == {
        name: task["state"] for name, task in document["tasks"].items()
    }


def test_show_of_a_killed_run(job: Builder, waiting: tuple[Background, Gate]) -> None:
    """Of a run whose orch was killed the state is ``interrupted``, its running task ``lost``."""
    running, gate = waiting
    running.signal(signal.SIGKILL)
    running.finish()
    gate.open()
    document = job.orch("show", "--json").document
    assert ("interrupted", None) == (document["state"], document["exit_code"])
    assert "lost" == document["tasks"]["a"]["outcome"]


def test_show_names_what_to_do_next(past: Builder) -> None:
    """``show`` is a table of tasks, and suggests the log of the one that failed."""
    out = past.orch("show").out
    assert "ValueError: no such luck" in out
    last = past.runs()[0].name.rpartition("-")[2]
    assert f"next: orch logs {last} b" in out


# logs


def test_logs_of_a_run_bear_the_tasks_names(past: Builder) -> None:
    """``logs`` prints what all tasks wrote, each line with its task's name."""
    out = past.orch("logs").out
    assert "a | out of 1\na ! err of 1\n" in out
    assert "b | out of 1\n" in out


def test_logs_of_one_stream_are_the_bytes(past: Builder) -> None:
    """For one task and one stream the bytes come as they are."""
    assert "out of 1\n" == past.orch("logs", "last", "a", "--stdout").out
    assert "err of 1\n" == past.orch("logs", "last", "a", "--stderr").out


def test_logs_are_exact_bytes(job: Builder) -> None:
    """Neither a missing newline nor control characters are changed on the way to a file."""
    job.tasks(r"""a: {mode: subprocess, command: [printf, 'x\r\033[1my\nz']}""")
    job.run("-q")
    out = job.shell("orch logs last a --stdout | od -An -c").out
    assert r"x \r 033 [ 1 m y \n z" == " ".join(out.split())


def test_logs_of_an_earlier_attempt(own: Builder) -> None:
    """``--attempt`` chooses a try; the last one is the default."""
    first, last = (own.runs()[0] / f"b.{number}.err" for number in (1, 2))
    first.write_text("first\n")
    last.write_text("last\n")
    assert "first\n" == own.orch("logs", "last", "b", "--stderr", "--attempt", "1").out
    assert "last\n" == own.orch("logs", "last", "b", "--stderr").out


def test_logs_of_instances(job: Builder) -> None:
    """A task's name stands for all of its instances; ``m.1`` is one of them."""
    job.module(MODULE)
    job.tasks("m: {mode: thread, function: 'm:f', foreach: [7, 8], args: ['{{ item }}']}")
    job.run("-q")
    assert ["m.0 | out of 7", "m.0 ! err of 7", "m.1 | out of 8", "m.1 ! err of 8"] == (
        job.orch("logs", "last", "m").out.splitlines()
    )
    assert "out of 8\n" == job.orch("logs", "last", "m.1", "--stdout").out


@pytest.mark.parametrize("task", ["z", "m.1"])
def test_logs_of_an_unknown_task(past: Builder, task: str) -> None:
    """A task that the run does not have is a usage error."""
    done = past.orch("logs", "last", task)
    assert (2, "") == (done.code, done.out)
    assert f"unknown task `{task}`" in done.err


def test_logs_of_an_unknown_instance(past: Builder) -> None:
    """An instance that the run does not have is a usage error, not silence."""
    assert 2 == past.orch("logs", "last", "a.7").code


def test_logs_follow_until_the_end(job: Builder, waiting: tuple[Background, Gate]) -> None:
    """``logs -f`` prints what is there, then what comes, and ends with the run."""
    running, gate = waiting
    follower = job.start_orch("logs", "-f", "last", "a", "--stdout")
    assert "one\n" == follower.line()
    gate.open()
    assert (0, "one\ntwo\n") == (follower.finish().code, follower.finish().out)
    assert 0 == running.finish().code


# stop


def test_stop_ends_a_live_run(job: Builder, waiting: tuple[Background, Gate]) -> None:
    """``stop`` asks the run to end as TERM does, and returns when it has."""
    running, _ = waiting
    assert 0 == job.orch("stop", "last").code
    done = running.finish()
    assert (-signal.SIGTERM, "cancelled") == (done.code, done.events[-1]["state"])


def test_stop_force_does_not_wait_for_the_grace(job: Builder) -> None:
    """``stop --force`` asks with force, however busy orch is when it comes."""
    gate = job.gate("gate")
    script = "trap '' TERM; printf x > gate; sleep 3"
    job.tasks(f'a: {{mode: subprocess, shell: true, command: "{script}"}}', "grace: 1h")
    running = job.start()
    gate.wait()
    running.signal(signal.SIGSTOP)
    assert 0 == job.orch("stop", "--force", "--no-wait", "last").code
    running.signal(signal.SIGCONT)
    asked = [event["force"] for event in running.finish().events if event["event"] == "stop_asked"]
    assert [False, True] == asked


def test_stop_of_a_run_that_has_ended(past: Builder) -> None:
    """A run that is over cannot be stopped: a usage error that says so."""
    done = past.orch("stop", "last")
    assert 2 == done.code
    assert "is not under way" in done.err


def test_history_survives_a_job_file_that_is_gone(own: Builder) -> None:
    """What was recorded is shown without the job file."""
    (own.root / "job.yaml").unlink()
    assert "failed" == own.orch("show", "--json").document["state"]


def test_state_is_private(past: Builder) -> None:
    """Directories of runs are 0700, files in them 0600."""
    (run,) = past.runs()
    assert {0o700} == {path.stat().st_mode & 0o777 for path in (run, run.parent)}
    files = {path.stat().st_mode & 0o777 for path in run.iterdir()}
    assert {0o600} == files
