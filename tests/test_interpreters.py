"""Mode ``interpreter``: what is a task's own, what is not; collected from Python 3.14 on.

What it has in common with the other modes stands with those: ``FUNCTION_MODES`` has it there.
"""
# ruff: noqa: SIM300 - expected == actual

import os
import shlex
import signal
import sys

import pytest

from tests.builder import Builder, Result

MODULE = """
import concurrent.futures, locale, multiprocessing, os, signal, subprocess, sys, threading, time
from orchestrator import task

seen = []

def adds():
    seen.append(task.name)
    return seen

def env(*names): return [os.environ.get(name) for name in names]

def moves():
    os.chdir("sub")
    os.umask(0o077)
    os.environ["MINE"] = "1"
    with open("gate", "rb") as gate:
        gate.read(1)
    return os.getcwd()

def looks():
    try:
        return [os.getcwd(), os.environ.get("MINE"), os.umask(0o022)]
    finally:
        with open("sub/gate", "wb") as gate:
            gate.write(b"x")

def speaks():
    print("print")
    sys.stdout.buffer.write(b"bytes\\n")
    sys.stdout.flush()
    thread = threading.Thread(target=print, args=["thread"])
    thread.start()
    thread.join()
    print("error", file=sys.stderr)
    task.log.bind(part="x").info("loaded", rows=3)
    task.progress(2, 5)
    return sys.stdin.read()

def leaves_a_thread():
    threading.Thread(target=lambda: (time.sleep(0.2), print("late"))).start()

def forks():
    os.fork()

def hangs(gate):
    with open(gate, "wb") as file:
        file.write(b"x")
    with open(gate + ".on", "rb") as file:
        file.read(1)

def starts():
    subprocess.run("echo out; echo err >&2", shell=True)
    return subprocess.run("cat", capture_output=True, text=True).stdout

def starts_a_daemon(): threading.Thread(target=print, daemon=True).start()
def handles(): signal.signal(signal.SIGUSR1, print)
def has_a_pool(): multiprocessing.Pool(1)
def has_an_executor():
    with concurrent.futures.ProcessPoolExecutor(1) as pool:
        return pool.submit(abs, -1).result()

def burns():
    return sum(range(1_000_000))

def sets(value, here, there):
    os.environ["MINE"] = value
    os.environ.pop("OLD", None)
    with open(here, "w") as file:
        file.write("\\n")
    with open(there) as file:
        file.readline()

def locale_of(): return locale.setlocale(locale.LC_ALL)
def set_locale(here=None, there=None):
    locale.setlocale(locale.LC_ALL, "C")
    if here is not None:
        sets("x", here, there)
        del os.environ["MINE"]
class Leaves:
    def write(self, text): pass
    def flush(self): sys.exit("from flush")

def set_locale_and_leave():
    set_locale()
    sys.stdout = Leaves()

def waits(here):
    with open(here) as file:
        file.readline()
def leaves_folder(): os.chdir("/")
def folder(): return os.getcwd()

def home():
    import orchestrator
    return orchestrator.__file__

def alone():
    import orjson

def gives(): yield from range(100)
def passes(items): yield from items
def takes(items): return [*items]
"""
LIBRARY = """
import sys
sys.path[:0] = {path}
import orchestrator
print(orchestrator.__file__, orchestrator.run_job("job.yaml").tasks["a"].output)
"""
# The same orch; but there is no memory for the first interpreter until items wait for it.
SHORT = """
import select
from orchestrator.cli import main
from orchestrator.runners.interpreters import InterpreterRunner
call = InterpreterRunner._call
def first(self, work):
    InterpreterRunner._call = call
    select.select([work.joint[1]], [], [])
    raise MemoryError
InterpreterRunner._call = first
main()
"""
# The same orch, on a system that gives a thread no directory of its own.
SHARED = """
from orchestrator.cli import main
from orchestrator.runners import interpreters
def refuses():
    raise OSError
interpreters.unshare_folder = refuses
main()
"""
BESIDE = "what all threads share changed while the task ran, beside other tasks inside orch"
# Each takes away what its result goes to.
LOSES = """
import os, sys

def letters():
    open("ran", "w").close()
    for name in os.listdir("/proc/self/fd"):
        try:
            if "memfd:orch " in os.readlink("/proc/self/fd/" + name):
                yield int(name)
        except OSError:
            pass  # it was that of the folder

def closes():
    for letter in letters(): os.close(letter)

class Leaves:
    def write(self, text): pass
    def flush(self): sys.exit("from flush")

def leaves_late():
    [*letters()]
    sys.stdout = Leaves()
"""


@pytest.fixture
def funcs(job: Builder) -> Builder:
    """Give a builder with the module and a folder."""
    job.module(MODULE)
    (job.root / "sub").mkdir()
    return job


def test_modules_are_its_own(funcs: Builder) -> None:
    """What one task, or one try, leaves in a module no other finds."""
    funcs.tasks("""
        a: {mode: interpreter, function: "m:adds"}
        b: {mode: interpreter, function: "m:adds", needs: [a]}
        c: {mode: thread, function: "m:adds", needs: [b]}
    """)
    tasks = funcs.run("--json").tasks
    assert [["a"], ["b"], ["c"]] == [tasks[name]["output"] for name in "abc"]


def test_directory_and_mask_are_its_own(funcs: Builder) -> None:
    """Two that overlap do not see each other's working directory, umask and ``os.environ``."""
    os.mkfifo(funcs.root / "sub" / "gate")
    funcs.tasks("""
        a: {mode: interpreter, function: "m:moves"}
        b: {mode: interpreter, function: "m:looks"}
    """, "limits: {processes: 2}")  # fmt: skip
    tasks = funcs.run("--json").tasks
    assert str(funcs.root / "sub") == tasks["a"]["output"]
    assert [str(funcs.root), None, 0o022] == tasks["b"]["output"]


def test_environment_of_the_job(funcs: Builder) -> None:
    """The job's ``env`` reaches it, and its own is refused."""
    task = "mode: interpreter, function: 'm:env', args: [SET, GONE, KEPT]"
    funcs.tasks(f"a: {{{task}}}", "env: {SET: x, GONE: null}")
    assert ["x", None, "2"] == funcs.run("--json", GONE="1", KEPT="2").tasks["a"]["output"]
    funcs.tasks(f"a: {{{task}, env: {{X: '1'}}}}")
    assert "interpreters share one environment" in funcs.run().err


def test_what_it_says(funcs: Builder) -> None:
    """Streams are its own, its threads' too; the log and the progress come to orch."""
    funcs.tasks("a: {mode: interpreter, function: 'm:speaks'}")
    done = funcs.run("--json", "--log-format", "json")
    assert "" == done.tasks["a"]["output"]
    assert "print\nbytes\nthread\n" == funcs.written("a.1.out")
    assert "error\n" == funcs.written("a.1.err")
    said = next(line for line in done.log if line["event"] == "loaded")
    assert ("a", "x", 3) == (said["task"], said["part"], said["rows"])
    kinds = [line["event"] for line in done.log]
    assert kinds.index("loaded") < kinds.index("task succeeded")


def test_its_threads_are_waited_for(funcs: Builder) -> None:
    """As those of a process are: the attempt ends when they have."""
    funcs.tasks("a: {mode: interpreter, function: 'm:leaves_a_thread'}")
    assert funcs.run("--json").tasks["a"]["cost"]["wall_s"] < 0.2
    assert "late\n" == funcs.written("a.1.out")


def test_what_children_have(funcs: Builder) -> None:
    """What it starts has orch's stdin, and writes to the files of the run, as on a thread."""
    for mode in ("thread", "interpreter"):
        funcs.tasks(f"a: {{mode: {mode}, function: 'm:starts'}}")
        done = funcs.orch("run", "job.yaml", "--json", stdin="orch's own\n")
        assert "orch's own\n" == done.tasks["a"]["output"]
        written = [funcs.written(name) for name in ("a.1.out", "run.out", "run.err")]
        assert ["", "out\n", "err\n"] == written


@pytest.mark.parametrize(
    ("function", "says"),
    [
        ("forks", "fork not supported"),
        ("alone", "does not support loading in subinterpreters"),
        ("starts_a_daemon", "daemon threads are disabled"),
        ("handles", "signal only works in main thread of the main interpreter"),
        ("has_a_pool", "daemon threads are disabled"),
        ("has_an_executor", "terminated abruptly"),
    ],
)
def test_what_python_refuses_there(funcs: Builder, function: str, says: str) -> None:
    """Forks, daemons, handlers, pools, modules in C not made for it: a failure that says so."""
    funcs.tasks(f"a: {{mode: interpreter, function: 'm:{function}'}}")
    done = funcs.run("--json")
    assert 1 == done.code
    assert says in done.tasks["a"]["error"]["message"]


def test_module_that_cannot_be_loaded_there(funcs: Builder) -> None:
    """Where the function's own module needs one, it is not launched."""
    funcs.module("import orjson\ndef f(): pass\n", "needs")
    funcs.tasks("a: {mode: interpreter, function: 'needs:f'}")
    task = funcs.run("--json").tasks["a"]
    assert "launch_failed" == task["outcome"]
    assert "`thread` and `process` can" in task["error"]["message"]


@pytest.mark.parametrize("mode", ["process", "interpreter"])
@pytest.mark.parametrize("how", ["closes", "leaves_late"])
def test_result_that_is_lost(funcs: Builder, mode: str, how: str) -> None:
    """A function that ran and whose result cannot be had has failed, and its attempt ends."""
    funcs.module(LOSES, "loses")
    funcs.tasks(f"a: {{mode: {mode}, function: 'loses:{how}', timeout: 10s}}")
    done = funcs.run("--json")
    assert (1, "failed") == (done.code, done.tasks["a"]["outcome"])
    assert done.tasks["a"]["error"]["type"] in ("ExitStatus", "NoResult")
    assert (funcs.root / "ran").exists()


@pytest.mark.parametrize(("option", "folder"), [("-P", "other"), ("-S", "")])
def test_it_has_this_orch(funcs: Builder, option: str, folder: str) -> None:
    """Where Python would find another orch, or none at all, it imports the one that runs it."""
    funcs.file("other/orchestrator/__init__.py", "raise ImportError('this is another one')")
    funcs.tasks("a: {mode: interpreter, function: 'm:home'}")
    command = shlex.join([sys.executable, option, "-c", LIBRARY.format(path=sys.path)])
    done = funcs.shell(f"PYTHONPATH={folder} {command}")
    assert 1 == len({*done.out.split()}), done


def _warnings(done: Result) -> list[tuple[str, str, str]]:
    return [(line["task"], line["event"], line["put_back"]) for line in done.log
            if "put_back" in line]  # fmt: skip


def test_environment_is_put_back(funcs: Builder) -> None:
    """What one has changed of it no later one finds, nor what two have that overlap."""
    for name in ("set", "leave", "last"):
        os.mkfifo(funcs.root / name)
    funcs.tasks("""
        a: {mode: interpreter, function: "m:sets", args: ["1", set, leave]}
        a_has: {mode: subprocess, shell: true, command: "read x < set"}
        b: {mode: interpreter, function: "m:sets", args: ["2", leave, last], needs: [a_has]}
        b_may_end: {mode: subprocess, shell: true, command: "echo > last", needs: [a]}
        c: {mode: interpreter, function: "m:env", args: [MINE, OLD], needs: [b]}
    """, "limits: {processes: 4}")  # fmt: skip
    done = funcs.run("--json", "--log-format", "json", OLD="old")
    assert [None, "old"] == done.tasks["c"]["output"]
    told = "task changed what all threads share"
    expected = [("a", told, "environment (MINE, OLD)"), ("b", told, "environment (MINE)")]
    assert expected == _warnings(done)


def test_locale_is_put_back(funcs: Builder) -> None:
    """It is one for the whole process: an interpreter that leaves it changed is told so."""
    funcs.tasks("""
        a: {mode: interpreter, function: "m:locale_of"}
        b: {mode: interpreter, function: "m:set_locale", needs: [a]}
        c: {mode: interpreter, function: "m:set_locale_and_leave", needs: [b]}
        d: {mode: thread, function: "m:locale_of", needs: [c], run_when: always}
    """)
    done = funcs.run("--json", "--log-format", "json", LC_ALL="C.UTF-8")
    assert done.tasks["a"]["output"] == done.tasks["d"]["output"] != "C"
    told = "task changed what all threads share", "locale"
    assert [("b", *told), ("c", *told)] == _warnings(done)


def test_no_thread_is_accused_of_what_an_interpreter_did(funcs: Builder) -> None:
    """Where both ran, which of them changed the locale is not said."""
    for name in ("there", "go"):
        os.mkfifo(funcs.root / name)
    funcs.tasks("""
        a: {mode: interpreter, function: "m:set_locale", args: [there, go]}
        b: {mode: thread, function: "m:waits", args: [there]}
        c: {mode: subprocess, shell: true, command: "echo > go", needs: [b]}
    """)
    done = funcs.run("--json", "--log-format", "json", LC_ALL="C.UTF-8")
    assert 0 == done.code, done.err
    assert [("b", BESIDE, "locale")] == _warnings(done)


def test_directory_is_put_back_where_it_is_shared(funcs: Builder) -> None:
    """A container may refuse a thread a directory of its own: then it is put back, and told."""
    funcs.tasks("""
        a: {mode: interpreter, function: "m:leaves_folder"}
        b: {mode: interpreter, function: "m:folder", needs: [a]}
    """)
    command = shlex.join([sys.executable, "-P", "-c", SHARED])
    done = funcs.shell(f"{command} run job.yaml --json --log-format json")
    assert str(funcs.root) == done.tasks["b"]["output"]
    told = "task changed what all threads share", "working directory"
    assert [("a", *told)] == _warnings(done)


def test_without_descriptors_attempts_wait(funcs: Builder) -> None:
    """Where there are too few to make an interpreter attempts wait, and succeed at their first."""
    task = "mode: interpreter, function: 'm:burns', foreach: '{{ range(60) }}'"
    funcs.tasks(f"a: {{{task}}}", "limits: {processes: 60}")
    done = funcs.shell("ulimit -n 64; orch run job.yaml --json")
    assert 0 == done.code, done.err
    assert 1 == done.err.count("tasks wait for the system")
    assert {("ok", 1)} == {
        (each["outcome"], each["attempts"]) for each in done.tasks["a"]["instances"].values()
    }


def test_want_of_means_in_a_pipeline(funcs: Builder) -> None:
    """One that has its ends of queues, and no interpreter, starts again and misses no item."""
    funcs.tasks("""
        give: {mode: thread, function: "m:gives", publish: q}
        pass: {mode: interpreter, function: "m:passes", consume: q, publish: r}
        take: {mode: process, function: "m:takes", consume: r}
    """, "queues: {q: {maxsize: 5}, r: }")  # fmt: skip
    done = funcs.shell(f"{shlex.join([sys.executable, '-P', '-c', SHORT])} run job.yaml --json")
    assert 0 == done.code, done.err
    assert "the system has no more memory (ENOMEM)" in done.err
    assert [*range(100)] == done.tasks["take"]["output"]


def test_given_up(funcs: Builder) -> None:
    """What does not stop in its grace is given up; orch ends nonetheless, and leaves nothing."""
    gate = funcs.gate("gate")
    funcs.gate("gate.on")
    funcs.tasks("a: {mode: interpreter, function: 'm:hangs', args: [gate], grace: 0.1s}")
    run = funcs.start("-q")
    gate.wait()
    run.signal(signal.SIGTERM)
    done = run.finish()
    assert -signal.SIGTERM == done.code
    assert "the thread of task `a` still runs\n" in done.err


def test_it_counts_as_a_process(funcs: Builder) -> None:
    """It uses a processor of its own, and takes a slot for one."""
    funcs.tasks("a: {mode: interpreter, function: 'm:burns', foreach: [1, 2, 3, 4]}",
                "limits: {processes: 1}")  # fmt: skip
    done = funcs.run("-v", "--log-format", "json")
    spans = [line["event"] for line in done.log if line.get("attempt")]
    assert ["task started", "task succeeded"] * 4 == spans
    assert "hexagon" in funcs.orch("plan", "job.yaml", "--dot").out


def test_advice_for_it(funcs: Builder) -> None:
    """It is compared with the other modes, and one of those is advised where it is faster."""
    funcs.tasks("a: {mode: interpreter, function: 'm:burns', foreach: [1, 2]}")
    found = funcs.orch("advise", "job.yaml", "--measure", "--yes", "--times", "1", "--json")
    task = found.document["tasks"]["a"]
    assert {"thread", "process", "interpreter"} == set(task["seconds"])
    assert "interpreter" == task["mode"]
