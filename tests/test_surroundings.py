"""What a thread task changes of what all threads share is put back, and told."""
# ruff: noqa: SIM300 - expected == actual

from typing import Any

import pytest

from tests.builder import Builder, Result

MODULE = """
import contextlib, io, locale, os, shutil, sys, threading
from orchestrator import run_job

def look():
    streams = [type(each).__name__ for each in (sys.stdin, sys.stdout, sys.stderr)]
    names = {n: v for n, v in os.environ.items() if n.startswith(("SECRET", "OLD")) or n == "HOME"}
    child = os.popen("echo $OLD_A $SECRET_A").read()
    return [os.getcwd(), names, child, locale.setlocale(locale.LC_ALL), streams]

def cwd(): os.chdir("/")
def add(): os.environ["SECRET_A"] = "sentinel"
def alter(): os.environ["OLD_A"] = "sentinel"
def delete(): del os.environ["OLD_A"]
def replace(): os.environ = {"SECRET_A": "sentinel"}
def clear(): os.environ.clear()
def set_locale(): locale.setlocale(locale.LC_ALL, "C")
def stdout(): sys.stdout = io.StringIO()
def no_stdin(): del sys.stdin
def several(): cwd(); add(); add_b(); stdout()
def add_b(): os.environ["SECRET_B"] = "sentinel"
def fails():
    cwd()
    raise ValueError("after that")

def restores():
    with contextlib.redirect_stdout(io.StringIO()):
        print("to nobody")
    os.environ["SECRET_A"] = "sentinel"
    del os.environ["SECRET_A"]

def moves(): os.rename(os.getcwd(), os.getcwd() + "-moved")
def leaves_nothing():
    os.makedirs("gone")
    os.chdir("gone")
    os.rmdir("../gone")

def inner(): return run_job("inner.yaml").exit_code

def waits(there, go):
    open(there, "w").write("x")
    open(go).readline()
def adds(there, go):
    open(there).read(1)
    add()
    open(go, "w").write("\\n")
def stays(go):
    open(go).readline()
    add()
"""
BESIDE = "what all threads share changed while the task ran, beside other tasks inside orch"
ENV = {"OLD_A": "old", "LC_ALL": "C.UTF-8"}


@pytest.fixture
def shared(job: Builder) -> Builder:
    """Give a job whose thread tasks change what they share."""
    job.module(MODULE)
    job.env.update(ENV)
    return job


def _run(job: Builder, *functions: str, head: str = "") -> Result:
    """Run the functions one after the other on threads: tasks t0, t1, …."""
    job.tasks(
        "\n".join(
            f"t{i}: {{mode: thread, function: 'm:{name}', needs: [{f't{i - 1}' if i else ''}], "
            "run_when: always}"
            for i, name in enumerate(functions)
        ),
        head,
    )
    return job.run("--log-format", "json", "--json")


def _warnings(done: Result) -> list[dict[str, Any]]:
    return [line for line in done.log if line["level"] == "warning"]


@pytest.mark.promise(22)
@pytest.mark.parametrize(
    ("function", "what"),
    [
        ("cwd", "working directory"),
        ("add", "environment (SECRET_A)"),
        ("alter", "environment (OLD_A)"),
        ("delete", "environment (OLD_A)"),
        ("replace", "os.environ"),
        ("set_locale", "locale"),
        ("stdout", "sys.stdout"),
        ("no_stdin", "sys.stdin"),
        ("leaves_nothing", "working directory"),
        ("several", "environment (SECRET_A, SECRET_B), sys.stdout, working directory"),
    ],
)
def test_put_back_and_told(shared: Builder, function: str, what: str) -> None:
    """The next task sees what the first one saw; a warning names the task, and never a value."""
    done = _run(shared, "look", function, "look")
    assert 0 == done.code
    assert done.tasks["t0"]["output"] == done.tasks["t2"]["output"]
    (warning,) = _warnings(done)
    assert ("task changed what all threads share", "t1", 1, what, "mode: process") == tuple(
        warning[key] for key in ("event", "task", "attempt", "put_back", "hint")
    )
    assert "sentinel" not in done.out + done.err


def test_many_names_are_cut(shared: Builder) -> None:
    """Of a cleared environment eight names are told, and how many more there are."""
    done = _run(shared, "look", "clear", "look")
    assert done.tasks["t0"]["output"] == done.tasks["t2"]["output"]
    (warning,) = _warnings(done)
    assert (8, True) == (warning["put_back"].count(",") + 1, " more)" in warning["put_back"])


def test_a_readable_line(shared: Builder) -> None:
    """On a terminal, too, the warning says which task, what, and what to do."""
    shared.tasks("a: {mode: thread, function: 'm:add'}")
    err = shared.run("--log-format", "console").err
    (line,) = (line.split() for line in err.splitlines() if "put_back" in line)
    said = "· a task changed what all threads share put_back=environment (SECRET_A)"
    assert f"{said} hint=mode: process" == " ".join(line[1:])


def test_a_failure_stays_the_same_failure(shared: Builder) -> None:
    """A task that fails after a change is put right, too, and its failure is its own."""
    done = _run(shared, "look", "fails", "look")
    assert (1, "ValueError") == (done.code, done.tasks["t1"]["error"]["type"])
    assert ["t1"] == [line["task"] for line in _warnings(done)]
    assert done.tasks["t0"]["output"] == done.tasks["t2"]["output"]


def test_nothing_changed(shared: Builder) -> None:
    """What a task puts back itself is not told, however often it runs."""
    for _ in range(2):
        done = _run(shared, "look", "restores", "look")
        assert (0, []) == (done.code, _warnings(done))


def test_a_folder_that_moves_was_left_by_nobody(shared: Builder) -> None:
    """When the working directory gets another name no task has left it."""
    shared.file("work/x", "")
    done = _run(shared, "moves", "restores", head="root: work\n")
    assert [] == [line for line in _warnings(done) if "put_back" in line]


def test_a_folder_of_its_own(shared: Builder) -> None:
    """With ``cwd`` a task may change its working directory: it is nobody else's."""
    shared.tasks("""
        a: {mode: thread, function: 'm:cwd', cwd: '.'}
        b: {mode: thread, function: 'm:look', needs: [a]}
        c: {mode: thread, function: 'm:add', cwd: '.', needs: [b]}
    """)
    done = shared.run("--log-format", "json", "--json")
    assert str(shared.root) == done.tasks["b"]["output"][0]
    assert ["c"] == [line["task"] for line in _warnings(done)]


def test_nobody_is_accused_where_several_ran(shared: Builder) -> None:
    """Which of the tasks that ran together it was is not known, and is not said."""
    for name in ("there", "go"):
        shared.gate(name)
    shared.tasks("""
        a: {mode: thread, function: 'm:waits', args: [there, go]}
        b: {mode: thread, function: 'm:adds', args: [there, go]}
    """)
    done = shared.run("--log-format", "json", "--json")
    (warning,) = _warnings(done)
    assert "environment (SECRET_A)" == warning["put_back"]
    assert BESIDE == warning["event"]


def test_a_thread_that_was_given_up(shared: Builder) -> None:
    """What it changes is found when it returns, beside the task that runs by then."""
    there, go, back = (shared.gate(name) for name in ("there", "go", "back"))
    shared.tasks("""
        a: {mode: thread, function: 'm:stays', args: [go], timeout: 10ms, grace: 0}
        b: {mode: thread, function: 'm:waits', args: [there, back], needs: [a], run_when: always}
        c: {mode: thread, function: 'm:look', needs: [b], run_when: always}
    """)
    running = shared.start("--log-format", "json")
    there.wait()
    go.open()
    running.wait_for("returned", task="a")
    back.open()
    (warning,) = (line for line in running.finish().log if "put_back" in line)
    assert ("a", BESIDE) == (warning["task"], warning["event"])


def test_a_run_inside_a_task(shared: Builder) -> None:
    """A task may call ``run_job``: what that sets while it lasts is not taken for a mistake."""
    shared.file("inner.yaml", "tasks: {a: {mode: thread, function: 'm:look'}}")
    done = _run(shared, "look", "inner", "look")
    assert (0, 0, []) == (done.code, done.tasks["t1"]["output"], _warnings(done))
