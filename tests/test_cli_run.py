"""``orch run``: exit codes, what it writes where, and what it does when it is told to end."""
# ruff: noqa: SIM300 - expected == actual

import json
import re
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.builder import Builder, Result

TWO = """
a: {mode: thread, function: "m:ok"}
b: {mode: thread, function: "m:bad", needs: [a]}
c: {mode: thread, function: "m:ok", needs: [b]}
"""
MODULE = """
import ctypes, os, subprocess, sys
from orchestrator import task

def ok(value=1):
    print("said by", task.name)
    return value

def bad():
    print("last words", file=sys.stderr)
    raise ValueError("no such luck")

def loud():
    os.system("echo child")
    subprocess.run(["echo", "grandchild"], stdout=1)
    os.write(1, b"raw\\n")
    ctypes.CDLL(None).puts(b"from C")
    ctypes.CDLL(None).fflush(None)
"""
HOLD = "hold: {mode: subprocess, command: [sleep, '60']}"
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture
def two(job: Builder) -> Builder:
    """Give a job of three tasks, of which the second fails."""
    job.module(MODULE)
    job.tasks(TWO)
    return job


@pytest.fixture(scope="module")
def told(shared_job: Builder) -> Result:
    """Run that job once without any option."""
    shared_job.module(MODULE)
    shared_job.tasks(TWO)
    return shared_job.run()


# Exit codes


def test_exit_0_when_all_succeeded(job: Builder) -> None:
    """A run whose tasks all succeeded leaves with 0 and says nothing on stdout."""
    job.tasks("a: {mode: subprocess, command: ['true']}")
    done = job.run()
    assert (0, "") == (done.code, done.out)


def test_exit_1_when_a_task_failed(told: Result) -> None:
    """One failed task makes it 1; the summary names the task, the reason and its last words."""
    assert 1 == told.code
    assert "task `b` failed: ValueError: no such luck" in told.err
    assert "last words" in told.err


def test_exit_code_is_never_a_count(job: Builder) -> None:
    """Three failed tasks are 1, too."""
    job.tasks("a: {mode: subprocess, command: ['false'], foreach: [1, 2, 3]}")
    assert 1 == job.run().code


@pytest.mark.parametrize(
    "args",
    [
        ["--no-such-option"],
        ["--json", "--events"],
        ["--only", "z"],
        ["-p", "top"],
        ["-p", "nope=1"],
        ["-p", "top=many"],
        ["-p", "@missing.yaml"],
        [],
    ],
    ids=lambda args: " ".join(args) or "required -p",
)
def test_exit_2_for_usage(job: Builder, args: list[str]) -> None:
    """Mistakes on the command line, ``-p`` values and required ones too, start nothing."""
    needed = [] if not args else ["-p", "must=1"]
    job.tasks(
        "a: {mode: subprocess, command: ['true']}",
        "params: {top: {type: int, min: 1, default: 1}, must: {type: int}}",
    )
    done = job.run(*needed, *args)
    assert (2, "", []) == (done.code, done.out, job.runs())
    assert done.err


def test_exit_2_for_a_skipped_task_whose_output_is_used(job: Builder) -> None:
    """``--skip`` of a task that another takes its output from is a usage error that names both."""
    job.module(MODULE)
    job.tasks("""
        a: {mode: thread, function: "m:ok"}
        b: {mode: thread, function: "m:ok", args: ["{{ tasks.a.output }}"]}
    """)
    done = job.run("--skip", "a")
    assert 2 == done.code
    assert "`a` cannot be skipped: `b` uses its output" in done.err


def test_exit_3_for_a_wrong_file(job: Builder) -> None:
    """Every error of the file is told in one go, by line, and nothing is started."""
    job.tasks("""
        a: {mode: tread, function: "m:ok"}
        b: {mode: subprocess, command: ['true'], retrys: 1}
    """)
    done = job.run("--json")
    assert (3, "", []) == (done.code, done.out, job.runs())
    assert ["3", "4"] == re.findall(r"^job\.yaml:(\d+):\d+: error: ", done.err, re.MULTILINE)


def test_exit_3_for_a_missing_file(job: Builder) -> None:
    """A file that is not there is 3, with its name, and no traceback."""
    done = job.orch("run", "gone.yaml")
    assert (3, "") == (done.code, done.out)
    assert "gone.yaml" in done.err
    assert "Traceback" not in done.err


@pytest.mark.promise(7)
@pytest.mark.parametrize("where", ["job.yaml", "/proc/none"])
def test_exit_4_for_an_unusable_state_directory(two: Builder, where: str) -> None:
    """A state directory that cannot be is the environment's fault; ``--state-dir`` is named."""
    done = two.run("--state-dir", where)
    assert (4, "") == (done.code, done.out)
    assert "--state-dir" in done.err
    assert "said by" not in done.err


def test_exit_4_for_an_unusable_log_file(two: Builder) -> None:
    """A log file that cannot be opened is found before anything starts."""
    done = two.run("--log-file", "gone/log")
    assert 4 == done.code
    assert "gone/log" in done.err
    assert [] == two.runs()


def test_exit_124_for_the_run_s_timeout(job: Builder) -> None:
    """When the run's own time is up its tasks are stopped and it leaves with 124."""
    job.tasks(HOLD, "timeout: 0.1")
    done = job.run("--json")
    assert (124, "failed", 124) == (done.code, done.document["state"], done.document["exit_code"])
    assert "cancelled" == done.tasks["hold"]["state"]


# Signals


@pytest.mark.promise(29)
@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_signal_ends_the_run_and_orch_by_the_same(job: Builder, number: signal.Signals) -> None:
    """The first INT, TERM or HUP stops what runs; orch then dies of that signal itself."""
    job.tasks(HOLD + "\nlater: {mode: subprocess, command: ['true'], needs: [hold]}")
    running = job.start()
    running.wait_for("started", task="hold")
    running.signal(number)
    done = running.finish()
    assert -number == done.code
    assert ["started", "ended"] == done.kinds("hold")
    assert ["cancelled"] == done.kinds("later")


@pytest.mark.promise(3, 29)
def test_signal_leaves_a_whole_record(job: Builder) -> None:
    """After a signal ``show`` knows the run as cancelled, with every task's state."""
    job.tasks(HOLD)
    running = job.start()
    running.wait_for("started")
    running.signal(signal.SIGTERM)
    running.finish()
    document = job.orch("show", "--json").document
    task = document["tasks"]["hold"]
    assert ("cancelled", "cancelled") == (document["state"], task["state"])
    assert ("stopped", signal.SIGTERM) == (task["outcome"], task["signal"])


@pytest.mark.promise(29)
def test_second_signal_kills_at_once(job: Builder) -> None:
    """A task that ignores TERM is killed by the second signal, long before its grace ends."""
    gate = job.gate("gate")
    script = "trap '' TERM; printf x > gate; sleep 60"
    job.tasks(f'a: {{mode: subprocess, shell: true, command: "{script}"}}', "grace: 1h")
    running = job.start()
    gate.wait()
    running.signal(signal.SIGINT)
    running.wait_for("stop_asked", force=False)
    running.signal(signal.SIGINT)
    done = running.finish()
    assert (-signal.SIGINT, signal.SIGKILL) == (done.code, done.events[-2]["signal"])


LADDER = """
import signal, sys
from queue import SimpleQueue
from orchestrator.signals import Ladder
inbox = SimpleQueue()
ladder = Ladder("run", inbox, lambda: 0.0)
for number in (signal.SIGINT, signal.SIGTERM):
    ladder.took(number)
    print(inbox.get().force, flush=True)
ladder.took(signal.SIGHUP)
print("still here")
"""


@pytest.mark.promise(29)
def test_third_signal_leaves_at_once() -> None:
    """The first asks, the second forces, and the third ends orch where it stands."""
    done = subprocess.run(
        [sys.executable, "-c", LADDER], capture_output=True, text=True, timeout=30, check=False
    )
    assert (-signal.SIGHUP, "False\nTrue\n") == (done.returncode, done.stdout)


@pytest.mark.promise(29)
def test_three_signals_at_once_end_orch(job: Builder) -> None:
    """However close together they come, orch ends by one of them, and promptly."""
    gate, let_on = job.gate("gate"), job.gate("gate.on")
    job.module("def f():\n    open('gate', 'w').write('x')\n    open('gate.on').read()")
    job.tasks("a: {mode: thread, function: 'm:f'}", "grace: 1h")
    running = job.start()
    gate.wait()
    running.signal_main(*SIGNALS)
    done = running.finish()
    let_on.open()
    assert -done.code in SIGNALS


def test_signal_may_arrive_at_any_thread(job: Builder) -> None:
    """The kernel gives a signal to any thread that does not block it; orch stops all the same."""
    job.module("""
        import signal, threading, time
        from orchestrator import task
        def f():
            signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
            while not task.cancelled: time.sleep(0.005)
    """)
    job.tasks("a: {mode: thread, function: 'm:f'}", "timeout: 1.5")
    assert -signal.SIGTERM == job.run().code  # 124: only the run's own timeout ended it


@pytest.mark.promise(29)
def test_signal_ignored_at_start_stays_ignored(job: Builder) -> None:
    """Under ``nohup`` a hang-up does not end the run."""
    gate = job.gate("gate")
    job.tasks("a: {mode: subprocess, shell: true, command: 'read x < gate'}")
    running = job.start(before="trap '' HUP")
    running.wait_for("started")
    running.signal(signal.SIGHUP)
    gate.open()
    assert 0 == running.finish().code


@pytest.mark.promise(29)
def test_usr1_prints_what_is_running(job: Builder) -> None:
    """USR1 asks; the answer names the running task, and the run goes on."""
    gate, log = job.gate("gate"), job.gate("log")
    job.tasks("a: {mode: subprocess, shell: true, command: 'read x < gate'}")
    running = job.start("--log-file", "log")
    running.wait_for("started")
    running.signal(signal.SIGUSR1)
    log.read_until(b"running now")
    gate.open()
    done = running.finish()
    assert 0 == done.code
    assert re.search(r"running now.*running=a", done.err)


@pytest.mark.promise(29)
def test_cleanup_still_runs_after_a_signal(job: Builder) -> None:
    """An ``always`` task whose need had started runs after the stop; another does not."""
    job.tasks(f"""
        {HOLD}
        clean: {{mode: subprocess, command: [touch, cleaned], needs: [hold], run_when: always}}
        other: {{mode: subprocess, command: [touch, other], needs: [hold]}}
    """)
    running = job.start()
    running.wait_for("started", task="hold")
    running.signal(signal.SIGTERM)
    assert -signal.SIGTERM == running.finish().code
    assert (True, False) == ((job.root / "cleaned").exists(), (job.root / "other").exists())


# --json, --events


def test_json_document(two: Builder) -> None:
    """``--json`` writes exactly the document of the manual, paths absolute, tasks in file order."""
    two.tasks("""
        a: {mode: process, function: "m:ok"}
        b: {mode: subprocess, command: ['false'], needs: [a]}
        c: {mode: thread, function: "m:ok", needs: [b]}
    """)
    done = two.run("--json")
    document = done.document
    folder = two.runs()[0]
    for task in document["tasks"].values():
        assert (task["duration_s"] is None) == (task["attempts"] == 0)
        assert (task["cost"] is None) == (task["attempts"] == 0)
        del task["duration_s"], task["cost"]
    assert 0 < document.pop("duration_s") < 30
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", document.pop("started_at"))
    none = {"output": None, "error": None, "signal": None}
    error = {"type": "ExitStatus", "message": "exit status 1", "traceback": None}
    assert {
        "run": folder.name,
        "job": "job",
        "state": "failed",
        "exit_code": 1,
        "tasks": {
            "a": none | {"state": "succeeded", "mode": "process", "attempts": 1, "outcome": "ok",
                         "exit_status": 0, "output": 1, "stdout": str(folder / "a.1.out"),
                         "stderr": str(folder / "a.1.err")},
            "b": none | {"state": "failed", "mode": "subprocess", "attempts": 1,
                         "outcome": "failed", "exit_status": 1, "error": error,
                         "stdout": str(folder / "b.1.out"), "stderr": str(folder / "b.1.err")},
            "c": none | {"state": "skipped", "mode": "thread", "attempts": 0, "outcome": None,
                         "exit_status": None, "stdout": None, "stderr": None},
        },
        "queues": {},
        "bottleneck": None,
    } == document  # fmt: skip
    assert ["a", "b", "c"] == list(document["tasks"])


def test_thread_files_are_made_at_the_first_byte(two: Builder) -> None:
    """A thread task that wrote nothing has no files; one that did has that one."""
    two.module("def f(): pass", "quiet")
    two.tasks("""
        a: {mode: thread, function: "quiet:f"}
        b: {mode: thread, function: "m:ok"}
    """)
    tasks = two.run("--json").tasks
    assert (None, None) == (tasks["a"]["stdout"], tasks["a"]["stderr"])
    assert (True, None) == (Path(tasks["b"]["stdout"]).is_file(), tasks["b"]["stderr"])


def test_run_and_show_print_the_same_document(two: Builder) -> None:
    """What ``run --json`` printed ``show --json`` prints again."""
    assert two.run("--json").document == two.orch("show", "--json").document


@pytest.mark.parametrize("option", ["--json", "--events"])
def test_nothing_but_json_on_stdout(two: Builder, option: str) -> None:
    """What children of a thread task, C code and raw writes print goes to the run's own file."""
    two.tasks("a: {mode: thread, function: 'm:loud'}")
    done = two.run(option)
    assert 0 == done.code
    assert all(isinstance(line, dict) for line in done.events)
    assert ["child", "grandchild", "raw", "from C"] == two.written("run.out").split("\n")[:-1]


def test_nothing_of_tasks_on_stderr(two: Builder) -> None:
    """What a task's child writes to descriptor 2 is in the run's file, not among log lines."""
    two.module("import os\ndef f(): os.system('echo oops >&2')", "noisy")
    two.tasks("a: {mode: thread, function: 'noisy:f'}")
    assert all(line["event"] for line in two.run("--log-format", "json").log)
    assert "oops\n" == two.written("run.err")


def test_events_are_live_and_in_order(two: Builder) -> None:
    """``--events`` writes each event as a line: starts, ends, skips, and the end of the run."""
    done = two.run("--events")
    said = [(event["event"], event.get("task")) for event in done.events]
    assert [
        ("started", "a"),
        ("ended", "a"),
        ("started", "b"),
        ("ended", "b"),
        ("skipped", "c"),
        ("finished", None),
    ] == said
    assert {two.runs()[0].name} == {event["run"] for event in done.events}


def test_events_carry_outputs_and_errors(two: Builder) -> None:
    """The end of a task has its output as JSON, or its error."""
    ended = {e["task"]: e for e in two.run("--events").events if e["event"] == "ended"}
    assert (1, None) == (ended["a"]["output"], ended["a"]["error"])
    assert "ValueError" == ended["b"]["error"]["type"]
    assert ["thread", "thread"] == [each["mode"] for each in ended.values()]


# Which tasks


def test_only_runs_a_task_and_what_it_needs(two: Builder) -> None:
    """``--only`` leaves out the rest, which is listed as skipped and is no failure."""
    two.tasks(TWO + 'd: {mode: thread, function: "m:ok", needs: [a]}')
    done = two.run("--json", "--only", "d")
    assert 0 == done.code
    states = {name: task["state"] for name, task in done.tasks.items()}
    assert {"a": "succeeded", "b": "skipped", "c": "skipped", "d": "succeeded"} == states


def test_skip_leaves_a_task_out_and_runs_what_needs_it(two: Builder) -> None:
    """What needs a task that the user left out runs as if it had succeeded."""
    done = two.run("--json", "--skip", "b")
    states = {name: task["state"] for name, task in done.tasks.items()}
    assert {"a": "succeeded", "b": "skipped", "c": "succeeded"} == states
    assert 0 == done.code


@pytest.mark.promise(29)
def test_fail_fast_stops_what_runs(job: Builder) -> None:
    """With ``--fail-fast`` the first failure sends TERM to the rest, and starts nothing more."""
    gate = "printf x > gate; exec sleep 60"
    job.gate("gate")
    job.tasks(f"""
        a: {{mode: subprocess, shell: true, command: "{gate}"}}
        b: {{mode: subprocess, shell: true, command: "read -n1 x < gate; exit 1"}}
        c: {{mode: subprocess, command: ['true'], needs: [a]}}
    """, "limits: {processes: 2}")  # fmt: skip
    done = job.run("--json", "--fail-fast")
    states = {name: task["state"] for name, task in done.tasks.items()}
    assert {"a": "cancelled", "b": "failed", "c": "cancelled"} == states
    assert (1, signal.SIGTERM) == (done.code, done.tasks["a"]["signal"])


def test_keep_going_is_the_default(job: Builder) -> None:
    """What does not depend on a failure runs."""
    job.tasks("""
        a: {mode: subprocess, command: ['false']}
        b: {mode: subprocess, command: [touch, done]}
        c: {mode: subprocess, command: [touch, more], needs: [b]}
    """, "limits: {processes: 1}")  # fmt: skip
    assert 1 == job.run().code
    assert (job.root / "more").exists()


# Parameters, stdin


PARAMS = """
params:
  top: {type: int, default: 5}
  flag: {type: bool, default: false}
  source: {type: path, default: data}
  name: {type: str, default: x}
"""
ALL = 'a: {mode: thread, function: "m:ok", args: ["{{ params }}"]}'


def test_parameters_are_typed(two: Builder) -> None:
    """``-p`` text is read as the parameter's type; the last one given counts."""
    two.tasks(ALL, PARAMS)
    done = two.run("--json", "-p", "top=1", "-p", "top=7", "-p", "flag=true", "-p", "name=1")
    source = str(two.root / "data")
    assert {"top": 7, "flag": True, "source": source, "name": "1"} == done.tasks["a"]["output"]


def test_parameters_from_a_file(two: Builder) -> None:
    """``-p @params.yaml`` gives several, and a later ``-p`` wins over them."""
    two.tasks(ALL, PARAMS)
    two.file("p.yaml", "top: 3\nname: no\n")
    output = two.run("--json", "-p", "@p.yaml", "-p", "top=4").tasks["a"]["output"]
    assert (4, "no") == (output["top"], output["name"])


def test_paths_start_where_they_were_typed(two: Builder) -> None:
    """A path from ``-p`` starts at the caller's directory, a default at root."""
    two.tasks(ALL, PARAMS)
    (two.root / "sub").mkdir()
    done = two.orch("run", "../job.yaml", "--json", "-p", "source=x", cwd="sub")
    assert str(two.root / "sub" / "x") == done.tasks["a"]["output"]["source"]


def test_job_from_stdin(job: Builder) -> None:
    """FILE ``-`` is stdin; its root is the caller's directory."""
    text = "tasks: {a: {mode: subprocess, command: [pwd], output: stdout}}"
    done = job.orch("run", "-", "--json", stdin=text)
    assert (0, str(job.root)) == (done.code, done.tasks["a"]["output"])
    assert [job.root / ".orch" / "runs"] == [run.parent for run in job.runs()]


def test_errors_of_a_job_from_stdin(job: Builder) -> None:
    """Errors of stdin are located like those of a file."""
    done = job.orch("run", "-", stdin="tasks: {a: {mode: tread}}")
    assert 3 == done.code
    assert re.match(r"<stdin>:1:19: error: tasks\.a\.mode: ", done.err)


@pytest.mark.promise(28)
def test_stdin_of_tasks_is_empty(job: Builder) -> None:
    """Tasks do not eat what was meant for orch: their stdin is /dev/null."""
    job.tasks("a: {mode: subprocess, command: [cat], output: stdout}")
    done = job.orch("run", "job.yaml", "--json", stdin="not for tasks")
    assert "" == done.tasks["a"]["output"]


# stderr


def test_quiet_says_errors_only(two: Builder) -> None:
    """``-q`` tells the failure and nothing of what went well."""
    err = two.run("-q").err
    assert "no such luck" in err
    assert not re.search("run started|task succeeded|task skipped", err)


def test_verbose_tells_starts(two: Builder, told: Result) -> None:
    """``-v`` adds the starts of tasks."""
    assert "task started" in two.run("-v").err
    assert "task started" not in told.err


@pytest.mark.parametrize("output", ["live", "failed"])
def test_json_log_is_json_in_every_line(two: Builder, output: str) -> None:
    """With ``--log-format json`` each line of stderr is an object, the summary too."""
    lines = two.run("--log-format", "json", "--task-output", output).log
    assert {"timestamp", "level", "event", "run"} <= lines[0].keys()
    reports = [line for line in lines if line.get("task") == "b" and "no such luck" in str(line)]
    assert reports


def test_json_log_shows_live_output(two: Builder) -> None:
    """``--task-output live`` holds with ``--log-format json``: the lines come as objects."""
    two.tasks("a: {mode: thread, function: 'm:ok'}")
    lines = two.run("--log-format", "json", "--task-output", "live").log
    assert any("said by a" in str(line) for line in lines)


def test_json_log_of_a_wrong_file(job: Builder) -> None:
    """Errors of the file are objects with their place."""
    job.tasks("a: {mode: tread}")
    done = job.run("--log-format", "json")
    assert 3 == done.code
    assert ("job.yaml", 2, "tasks.a.mode") == tuple(
        done.log[0][key] for key in ("file", "line", "where")
    )


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (["-p", "x=1"], 2),
        (["--state-dir", "job.yaml"], 4),
        pytest.param(
            ["--log-file", "gone/log"],
            4,
        ),
    ],
    ids=["usage", "state directory", "log file"],
)
def test_json_log_of_other_errors(two: Builder, args: list[str], code: int) -> None:
    """Errors of usage and of the environment are objects, too."""
    done = two.run("--log-format", "json", *args)
    assert (code, "error") == (done.code, done.log[-1]["level"])


def test_json_log_of_a_dropped_stdout(two: Builder) -> None:
    """That stdout broke is said as an object, too."""
    done = two.shell("orch run job.yaml --json --log-format json > /dev/full")
    assert any("stdout" in str(line) for line in done.log)


def test_log_off_a_terminal_is_key_value(told: Result) -> None:
    """Without a terminal each line of the log is ``key=value``, without colours."""
    log = told.err.partition("orch: task")[0].splitlines()
    assert 5 == len(log)
    assert all(line.startswith("timestamp=") and " event=" in line for line in log)
    assert "\x1b" not in told.err


@pytest.mark.promise(26)
def test_console_log_has_no_colours_off_a_terminal(two: Builder) -> None:
    """``--log-format console`` into a file has no escapes."""
    err = two.run("--log-format", "console").err
    assert "no such luck" in err
    assert "\x1b" not in err


def test_log_file_is_appended_to(two: Builder) -> None:
    """``--log-file`` gets the log beside stderr, after what it held."""
    two.file("log", "before\n")
    two.tasks("a: {mode: thread, function: 'm:ok'}")
    err = two.run("--log-file", "log").err
    assert "before\n" + err == (two.root / "log").read_text()


def test_task_output_live(two: Builder) -> None:
    """``live`` shows every line with its task's name."""
    err = two.run("--task-output", "live").err
    assert re.search(r"^a +\| said by a$", err, re.MULTILINE)
    assert re.search(r"^b +\| last words$", err, re.MULTILINE)


def test_task_output_live_while_the_task_runs(job: Builder) -> None:
    """``live`` means now: a line can be read while its task still runs."""
    gate = job.gate("gate")
    job.tasks("a: {mode: subprocess, shell: true, command: 'echo hello; read x < gate'}")
    running = job.start_orch(
        "run", "job.yaml", "--task-output", "live", "--log-format", "console", before="exec 2>&1"
    )
    while "| hello" not in running.line():
        pass
    gate.open()
    assert 0 == running.finish().code


def test_task_output_failed_shows_the_last_20_lines(job: Builder) -> None:
    """By default the end of what failed tasks wrote to stderr is shown, and nothing of others."""
    job.tasks("""
        a: {mode: subprocess, shell: true, command: 'seq 100 130 >&2; exit 1'}
        b: {mode: subprocess, shell: true, command: 'echo unwanted >&2'}
    """)
    shown = re.findall(r"^ +\| (\d+)$", job.run().err, re.MULTILINE)
    assert [str(number) for number in range(111, 131)] == shown


def test_task_output_none(two: Builder) -> None:
    """``none`` shows no line of any task; that it failed is still said."""
    err = two.run("--task-output", "none").err
    assert "last words" not in err
    assert "task `b` failed" in err


@pytest.mark.promise(26)
def test_task_output_cannot_steer_the_terminal(job: Builder) -> None:
    """Escapes of a task are shown, not passed on."""
    job.tasks(
        r"""a: {mode: subprocess, command: [printf, '\033[31mred\007\n'], ok_exit_codes: [1]}"""
    )
    err = job.run("--task-output", "live").err
    assert "red" in err
    assert "\x1b" not in err
    assert "\x07" not in err


def test_suggested_command_can_be_pasted(two: Builder) -> None:
    """What the summary suggests works as it stands, from another directory too."""
    two.file("sub/job.yaml", (two.root / "job.yaml").read_text())
    two.file("sub/m.py", (two.root / "m.py").read_text())
    two.env["PWD"] = str(two.root)
    err = two.orch("run", "sub/job.yaml").err
    command = re.search(r"next: (orch logs .*)$", err, re.MULTILINE).group(1)
    assert "--state-dir sub/.orch" in command
    assert "last words" in two.shell(command).out


# Broken streams


@pytest.mark.promise(27)
def test_reader_of_events_may_go_away(two: Builder) -> None:
    """``| head -n 1`` ends nothing: all tasks run, the exit code is theirs, and it is said."""
    two.tasks("a: {mode: thread, function: 'm:ok', foreach: '{{ range(20) }}'}")
    done = two.shell("orch run job.yaml --events | head -n 0; exit ${PIPESTATUS[0]}")
    assert 0 == done.code
    assert 20 == len(two.orch("show", "--json").tasks["a"]["instances"])


@pytest.mark.promise(27)
@pytest.mark.parametrize(
    "option",
    [
        "--json",
        pytest.param(
            "--events",
        ),
    ],
)
def test_full_stdout_is_dropped_and_said_once(two: Builder, option: str) -> None:
    """A stdout that cannot be written is dropped, said once on stderr, and costs no exit code."""
    two.tasks("a: {mode: thread, function: 'm:ok'}")
    done = two.shell(f"orch run job.yaml {option} > /dev/full")
    assert 0 == done.code
    assert 1 == len(re.findall(r"^.*stdout.*no space left.*$", done.err, re.MULTILINE))


@pytest.mark.promise(27)
def test_full_stderr_is_dropped(two: Builder) -> None:
    """A stderr that cannot be written costs neither tasks nor the exit code; the log file tells."""
    done = two.shell("orch run job.yaml --json --log-file log 2> /dev/full")
    assert (1, "failed") == (done.code, done.document["state"])
    assert 1 == len(re.findall(r"log dropped.*sink=stderr", (two.root / "log").read_text()))


@pytest.mark.promise(27)
def test_closed_pipe_on_stderr_is_dropped(two: Builder) -> None:
    """When nobody reads stderr any more the run goes on."""
    done = two.shell("orch run job.yaml --json 2>&1 >out | head -n 0; exit ${PIPESTATUS[0]}")
    assert 1 == done.code
    assert "failed" == json.loads((two.root / "out").read_text())["state"]


@pytest.mark.promise(27)
def test_full_log_file_is_dropped_and_said_once(two: Builder) -> None:
    """A log file on a full disk is dropped and said once on stderr."""
    two.tasks("a: {mode: thread, function: 'm:ok'}")
    done = two.run("--log-file", "/dev/full")
    assert 0 == done.code
    assert 1 == len(re.findall("log dropped.*sink=/dev/full", done.err))


@pytest.mark.promise(28)
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams(two: Builder, closed: str) -> None:
    """Whatever was closed at start: tasks run, their output and the record are whole."""
    two.tasks("""
        a: {mode: thread, function: 'm:ok'}
        b: {mode: subprocess, shell: true, command: 'cat; echo out; echo err >&2'}
    """)
    assert 0 == two.shell(f"orch run job.yaml --json {closed}").code
    assert ("out\n", "err\n") == (two.written("b.1.out"), two.written("b.1.err"))
    with closing(sqlite3.connect(two.runs()[0] / "journal.db")) as journal:
        assert ("ok",) == journal.execute("PRAGMA integrity_check").fetchone()


@pytest.mark.promise(27)
def test_read_only_commands_end_quietly(two: Builder) -> None:
    """Commands that only print end by SIGPIPE, without a word."""
    two.run("-q")
    done = two.shell("sleep() { :; }; orch show | head -n 0; exit ${PIPESTATUS[0]}")
    assert (141, "") == (done.code, done.err)
