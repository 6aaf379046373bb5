"""Thread, process, program: what a task may be, and what it sees, in each mode."""
# ruff: noqa: SIM300 - expected == actual

import re
import sys
from pathlib import Path

import pytest

from orchestrator import task as outside
from orchestrator.pythons import has_interpreters
from tests.builder import FUNCTION_MODES as MODES
from tests.builder import Builder, Result

MODULE = """
import asyncio, logging, os, sys, threading, time, warnings
from orchestrator import task

class Odd(Exception):
    class Inner(Exception):
        pass

class Mute(Exception):
    def __str__(self): raise RuntimeError("no text")

class Thing:
    def method(self, x=1): return ["method", x]
    class Deep:
        @staticmethod
        def method(): return "deep"

thing = Thing()

def nested(): return {"a": (1, None, 2.5, True), "é": ["ü", {}], "big": 2**70}
def none(): return None
async def coroutine():
    await asyncio.sleep(0)
    return "awaited"
def raises_plain(): raise ValueError("no such luck")
def raises_own(): raise Odd.Inner("a", 1)
def raises_empty(): raise KeyError
def raises_chained():
    try:
        raises_plain()
    except ValueError as error:
        raise Odd("second") from error
def raises_exit(): sys.exit(3)
def raises_exit_0(): sys.exit()
def raises_interrupt(): raise KeyboardInterrupt("mine")
def raises_base(): raise BaseException("base")
def raises_group(): raise ExceptionGroup("many", [ValueError("x"), Odd("y")])
def raises_mute(): raise Mute
def raises_long(): raise ValueError("x" * 1_000_000)
def raises_surrogate(): raise ValueError("half \\ud800 a character")
def raises_recursion(): return raises_recursion()
async def raises_cancelled(): raise asyncio.CancelledError("stop")
def bad_nan(): return [float("nan")]
def bad_key(): return {1: 2}
def bad_set(): return {1, 2}
def bad_bytes(): return b"x"
def bad_object(): return thing
def bad_deep():
    value = []
    for _ in range(2000): value = [value]
    return value
def bad_cycle():
    value = []
    value.append(value)
    return value
def bad_surrogate(): return "\\ud800"
def bad_large(): return "x" * 2**20
def make_generator():
    def inner(): yield 1
    return inner()

def mutates(values):
    values.append(1)
    if task.attempt == 1: raise ValueError(len(values))
    return values

def who(): return [task.name, task.attempt, task.run_id == os.environ["ORCH_RUN_ID"]]
def where(): return os.getcwd()
def env(*names): return [os.environ.get(name) for name in names]
def opens(): return open("here.txt").read()

def notes():
    task.log.bind(part="x").info("loaded", rows=3)
    task.log.warning("odd")
    task.progress(2, 5)

def polite():
    task.cancelled
    while not task.cancelled:
        time.sleep(0.005)
    open(task.name + ".noticed", "w").close()
    task.check()

def speaks(n):
    def child():
        print("child of", n)
    def from_pool():
        print("pool of", n, file=sys.stderr)
    print("print", n)
    sys.stdout.buffer.write(b"bytes %d\\n" % n)
    thread = threading.Thread(target=child)
    thread.start()
    thread.join()
    logging.getLogger("x").warning("log of %d", n)
    from concurrent.futures import ThreadPoolExecutor
    with ThreadPoolExecutor(1) as pool:
        pool.submit(from_pool).result()
    print("no newline", n, end="")
"""
SAME = [
    "nested",
    "none",
    "coroutine",
    "thing.method",
    "Thing.Deep.method",
    "raises_plain",
    "raises_own",
    "raises_empty",
    "raises_chained",
    "raises_exit",
    "raises_exit_0",
    "raises_interrupt",
    "raises_base",
    "raises_group",
    "raises_mute",
    "raises_long",
    "raises_recursion",
    "raises_cancelled",
    "bad_nan",
    "bad_key",
    "bad_set",
    "bad_bytes",
    "bad_object",
    "bad_deep",
    "bad_cycle",
    "bad_surrogate",
    "bad_large",
    "make_generator",
    "who",
    "where",
]
EXPECTED = {
    "nested": {"a": [1, None, 2.5, True], "é": ["ü", {}], "big": 2**70},
    "none": None,
    "coroutine": "awaited",
    "thing.method": ["method", 1],
    "Thing.Deep.method": "deep",
}
ERRORS = {
    "raises_plain": ("ValueError", "no such luck"),
    "raises_own": ("m.Odd.Inner", "('a', 1)"),
    "raises_empty": ("KeyError", ""),
    "raises_chained": ("m.Odd", "second"),
    "raises_exit": ("SystemExit", "3"),
    "raises_exit_0": ("SystemExit", ""),
    "raises_interrupt": ("KeyboardInterrupt", "mine"),
    "raises_base": ("BaseException", "base"),
    "raises_mute": ("m.Mute", "<unprintable>"),
    "raises_cancelled": ("asyncio.exceptions.CancelledError", "stop"),
}


def _name(function: str, mode: str) -> str:
    return f"{function.replace('.', '_')}_{mode}"


@pytest.fixture(scope="module")
def both(shared_job: Builder) -> Result:
    """Run every function of ``SAME`` once in each mode, in one run."""
    shared_job.module(MODULE)
    shared_job.tasks("".join(
        f"{_name(function, mode)}: {{mode: {mode}, function: 'm:{function}'}}\n"
        for function in SAME for mode in MODES
    ))  # fmt: skip
    return shared_job.run("--json", "-q")


@pytest.mark.parametrize("function", SAME)
def test_same_function_same_result(both: Result, function: str) -> None:
    """A function has the same output, error type and message in every mode."""
    found = {mode: both.tasks[_name(function, mode)] for mode in MODES}
    if function == "who":
        for mode, task in found.items():
            assert [f"who_{mode}", 1, True] == task["output"]
        return
    said = [
        (task["state"], task["outcome"], task["output"], task["error"] and (
            task["error"]["type"], task["error"]["message"]))
        for task in found.values()
    ]  # fmt: skip
    assert said == [said[0]] * len(MODES)


@pytest.mark.parametrize(
    "function", [n for n in SAME if n.startswith("raises") and n != "raises_recursion"]
)
def test_same_function_same_traceback(both: Result, function: str) -> None:
    """The traceback too, without a frame of orch's."""
    found = {both.tasks[_name(function, mode)]["error"]["traceback"] for mode in MODES}
    assert len(found) == 1
    assert "orchestrator" not in found.pop()


@pytest.mark.parametrize("function", EXPECTED)
def test_output_is_the_result_as_json(both: Result, function: str) -> None:
    """Tuples become lists, None is fine, coroutines are run, methods are found."""
    assert EXPECTED[function] == both.tasks[_name(function, "thread")]["output"]


@pytest.mark.promise(19, 23)
@pytest.mark.parametrize("function", ERRORS)
def test_exceptions_are_named_and_quoted(both: Result, function: str) -> None:
    """An error is the exception's qualified class name and its text, ``SystemExit`` too."""
    task = both.tasks[_name(function, "thread")]
    assert ("failed", "failed") == (task["state"], task["outcome"])
    assert ERRORS[function] == (task["error"]["type"], task["error"]["message"])


@pytest.mark.promise(23)
@pytest.mark.parametrize("function", [n for n in SAME if n.startswith(("bad_", "make_"))])
def test_result_that_is_not_json(both: Result, function: str) -> None:
    """What JSON cannot carry, and a generator, is an ``OutputError``, never changed in silence."""
    error = both.tasks[_name(function, "process")]["error"]
    assert "OutputError" == error["type"]
    assert error["message"]


@pytest.mark.promise(23)
def test_long_message_is_cut(both: Result) -> None:
    """A message of a megabyte is cut at 64 KiB, and says so."""
    message = both.tasks["raises_long_thread"]["error"]["message"]
    assert 64 * 1024 <= len(message) < 66 * 1024
    assert "64 KiB" in message


@pytest.mark.promise(23)
@pytest.mark.parametrize("mode", MODES)
def test_message_with_half_a_character(job: Builder, mode: str) -> None:
    """An odd text of an exception is reported, and orch goes on."""
    job.module(MODULE)
    job.tasks(f"""
        a: {{mode: {mode}, function: "m:raises_surrogate"}}
        b: {{mode: subprocess, command: ['true'], needs: [a], run_when: always}}
    """)
    done = job.run("--json")
    assert (1, "succeeded") == (done.code, done.tasks["b"]["state"])
    assert "ValueError" == done.tasks["a"]["error"]["type"]


def test_failure_is_on_the_task_s_stderr(both: Result) -> None:
    """The traceback stands in the task's file in both modes."""
    texts = [Path(both.tasks[f"raises_plain_{mode}"]["stderr"]).read_text() for mode in MODES]
    assert texts == [texts[0]] * len(MODES)
    assert texts[0].endswith("ValueError: no such luck\n")


@pytest.mark.parametrize("mode", MODES)
def test_arguments_are_fresh_for_each_attempt(job: Builder, mode: str) -> None:
    """What an attempt did to its arguments the next one does not see."""
    job.module(MODULE)
    job.tasks(
        f"a: {{mode: {mode}, function: 'm:mutates', args: [[]], retry: {{attempts: 2, delay: 0}}}}"
    )
    assert [1] == job.run("--json").tasks["a"]["output"]


# Output of threads


@pytest.fixture(scope="module")
def spoken(shared_job: Builder, both: Result) -> Builder:
    """Run six thread tasks at once that write by every way there is."""
    assert both.document
    shared_job.tasks("""
        a: {mode: thread, function: "m:speaks", args: ["{{ item }}"], foreach: [0, 1, 2, 3, 4, 5]}
        p: {mode: process, function: "m:speaks", args: [6]}
    """)
    assert 0 == shared_job.run("-q").code
    return shared_job


@pytest.mark.promise(22)
@pytest.mark.parametrize("n", range(7))
def test_output_is_in_the_task_s_own_file(spoken: Builder, n: int) -> None:
    """print, bytes, and a child thread's print are in the task's file and nowhere else."""
    name = f"a.{n}" if n < 6 else "p"
    expected = f"print {n}\nbytes {n}\nchild of {n}\nno newline {n}"
    assert expected.splitlines()[-1] == spoken.written(f"{name}.1.out").splitlines()[-1]
    assert sorted(expected.splitlines()) == sorted(spoken.written(f"{name}.1.out").splitlines())


@pytest.mark.promise(22)
@pytest.mark.parametrize("n", range(7))
def test_logging_is_in_the_task_s_own_file(spoken: Builder, n: int) -> None:
    """Logging and what a pool's thread prints are in the task's stderr, and nobody else's are."""
    err = spoken.written(f"{f'a.{n}' if n < 6 else 'p'}.1.err")
    assert [f"log of {n}", f"pool of {n}"] == re.findall(r"^(?:log|pool) of .*$", err, re.MULTILINE)


def test_each_task_gets_its_warning(job: Builder) -> None:
    """Two tasks at one place of the source both get the warning, as they would in processes."""
    job.module("""
        import threading, warnings
        both = threading.Barrier(2)
        def f():
            both.wait()
            warnings.warn("warning of the place")
    """)
    job.tasks("a: {mode: thread, function: 'm:f', foreach: [0, 1]}")
    job.run()
    assert [1, 1] == [job.written(f"a.{n}.1.err").count("UserWarning: warning") for n in range(2)]


def test_nothing_of_tasks_in_the_run_s_files(spoken: Builder) -> None:
    """What could be told apart is not in ``run.out`` and ``run.err``."""
    assert ("", "") == (spoken.written("run.out"), spoken.written("run.err"))


# Environment and directories


def test_job_env_holds_in_every_mode(job: Builder) -> None:
    """The job's ``env`` reaches all three; null removes; the rest is inherited."""
    job.module(MODULE)
    job.tasks("""
        a: {mode: thread, function: "m:env", args: [SET, GONE, KEPT]}
        b: {mode: process, function: "m:env", args: [SET, GONE, KEPT]}
        c: {mode: subprocess, shell: true, output: json,
            command: 'printf "[\\"%s\\", null, \\"%s\\"]" "$SET" "$GONE$KEPT"'}
    """, "env: {SET: x, GONE: null}")  # fmt: skip
    tasks = job.run("--json", GONE="1", KEPT="2").tasks
    assert [["x", None, "2"]] * 3 == [tasks[name]["output"] for name in "abc"]


def test_env_file_comes_before_env(job: Builder) -> None:
    """``env_file`` is read first, ``env`` stands above it."""
    job.file(".env", "# comment\nA=1\nexport B='two words'\n")
    job.tasks("a: {mode: subprocess, shell: true, output: stdout, command: 'echo $A,$B'}",
              "env_file: .env\nenv: {A: '3'}")  # fmt: skip
    assert "3,two words" == job.run("--json").tasks["a"]["output"]


def test_task_env_is_the_task_s_alone(job: Builder) -> None:
    """A task's ``env`` is set, filled in and removed for it only."""
    job.module(MODULE)
    job.tasks("""
        a: {mode: process, function: "m:env", args: [X, HOME], env: {X: "{{ run.id }}", HOME: null}}
        b: {mode: process, function: "m:env", args: [X], needs: [a]}
    """)
    document = job.run("--json").document
    assert [document["run"], None] == document["tasks"]["a"]["output"]
    assert [None] == document["tasks"]["b"]["output"]


@pytest.mark.skipif(has_interpreters(), reason="there is one")
def test_no_interpreters_here(job: Builder) -> None:
    """Before Python 3.14 there is no mode ``interpreter``: an error of the file that says so."""
    job.module(MODULE)
    job.tasks("a: {mode: interpreter, function: 'm:none'}")
    done = job.run()
    assert 3 == done.code
    assert "job.yaml:2:13: error: tasks.a.mode: `interpreter` needs Python 3.14" in done.err


def test_task_env_adds_to_that_in_defaults(job: Builder) -> None:
    """Also one that is empty, and with what templates in ``defaults`` need."""
    job.tasks(
        """
        first: {command: [echo, hi], output: stdout, env: {B: null}}
        adds: {command: "echo $A $B $C", shell: true, output: stdout, env: {C: "3"}}
        empty: {command: "echo $A $B $C", shell: true, output: stdout, env: {}}
        """,
        "defaults: {mode: subprocess, env: {A: '1', B: '{{ tasks.first.output }}'}}",
    )
    tasks = job.run("--json").tasks
    assert ["1 hi 3", "1 hi"] == [tasks[name]["output"] for name in ("adds", "empty")]


def test_an_empty_env_keeps_that_in_defaults_from_a_thread(job: Builder) -> None:
    """A thread cannot have an environment of its own, and may say that it does without."""
    job.module(MODULE)
    defaults = "defaults: {mode: thread, env: {A: '1'}}"
    job.tasks("a: {function: 'm:none'}", defaults)
    assert 3 == job.run().code
    job.tasks("a: {function: 'm:none', env: {}}", defaults)
    assert 0 == job.run().code


def test_what_is_wrong_in_an_env_is_told_where_it_stands(job: Builder) -> None:
    """In ``defaults``, or in the task that adds to it."""
    job.tasks(
        "a: {command: [ls], env: {C: '{{ env.NOT_C }}'}}",
        "defaults: {mode: subprocess, env: {A: '{{ not.known }}', B: '{{ env.NOT_B }}'}}",
    )
    said = job.orch("check", "job.yaml").err
    assert "defaults.env.A: " in said
    job.tasks(
        "a: {command: [ls], env: {C: '{{ env.NOT_C }}'}}",
        "defaults: {mode: subprocess, env: {B: '{{ env.NOT_B }}'}}",
    )
    said = job.orch("check", "job.yaml").err
    assert "defaults.env.B: " in said
    assert "tasks.a.env.C: " in said


def test_task_env_on_a_thread_is_refused(job: Builder) -> None:
    """Threads share one environment: an error of the file that says so."""
    job.module(MODULE)
    job.tasks("a: {mode: thread, function: 'm:none', env: {X: '1'}}")
    done = job.run()
    assert 3 == done.code
    assert "threads share one environment" in done.err


def test_directory_of_every_mode(job: Builder) -> None:
    """Tasks stand in root, or in their ``cwd``, threads too, at the same time."""
    job.module(MODULE)
    (job.root / "sub").mkdir()
    job.tasks("".join(
        f"{mode}{n}: {{mode: {mode}, function: 'm:where'{extra}}}\n"
        for mode in MODES for n, extra in enumerate(["", ", cwd: sub"])
    ) + "p0: {mode: subprocess, command: [pwd], output: stdout}\n"
        "p1: {mode: subprocess, command: [pwd], output: stdout, cwd: sub}\n")  # fmt: skip
    tasks = job.run("--json").tasks
    for name in (*MODES, "p"):
        assert [str(job.root), str(job.root / "sub")] == [
            tasks[f"{name}{n}"]["output"] for n in range(2)
        ]


def test_root_is_not_where_orch_was_called(job: Builder) -> None:
    """``root`` counts from the file; imports, programs and directories start there."""
    job.module(MODULE, "src/m")
    job.file("src/prog.py", "import os; print(os.getcwd())")
    job.file("jobs/job.yaml", """
        root: ../src
        tasks:
          a: {mode: thread, function: "m:where"}
          b: {mode: subprocess, program: prog.py, output: stdout}
    """)  # fmt: skip
    (job.root / "else").mkdir()
    tasks = job.orch("run", "../jobs/job.yaml", "--json", cwd="else").tasks
    assert [str(job.root / "src")] * 2 == [tasks[name]["output"] for name in "ab"]
    assert [job.root / "src/.orch/runs"] == [run.parent for run in job.runs()]


def test_user_module_may_bear_a_standard_name(job: Builder) -> None:
    """A ``queue.py`` and a ``rich.py`` beside the job break neither orch nor its tasks."""
    job.module(MODULE)
    for name in ("queue", "json", "rich", "structlog", "signal", "jinja2", "pygments"):
        job.module("raise SystemExit('the wrong module')", name)
    job.tasks("""
        a: {mode: thread, function: "m:coroutine"}
        b: {mode: process, function: "m:coroutine"}
    """)
    assert 0 == job.run().code


# Programs


def test_program_module_command_shell(job: Builder) -> None:
    """The four ways to name a program, each with its arguments as single words."""
    job.file("prog.py", "import sys; print(sys.argv[1:])")
    job.file("pkg/__init__.py", "")
    job.file("pkg/mod.py", "import sys; print(sys.argv[1:])")
    job.tasks("""
        a: {mode: subprocess, program: prog.py, args: ["x y", "$HOME"], cwd: /}
        b: {mode: subprocess, module: pkg.mod, args: ["x y", "*"], cwd: /}
        c: {mode: subprocess, command: [printf, "%s|", "x y", "*"], args: [z]}
        d: {mode: subprocess, shell: true, command: 'echo "$1-$2"', args: [x, "y z"]}
    """, "defaults: {output: stdout}")  # fmt: skip
    tasks = job.run("--json").tasks
    expected = ["['x y', '$HOME']", "['x y', '*']", "x y|*|z|", "x-y z"]
    assert expected == [tasks[name]["output"] for name in "abcd"]


def test_templates_become_text(job: Builder) -> None:
    """In arguments text stays as it is and the rest is compact JSON, one word each."""
    job.tasks("""
        a: {mode: subprocess, output: stdout, command: [printf, "%s|", "{{ params.s }}",
            "n={{ params.n }}", "{{ params.flag }}", "{{ [1, {'a': None}] }}"]}
    """, "params: {s: {default: 'x  y'}, n: {type: int, default: 3}, flag: {type: bool, "
         "default: true}}")  # fmt: skip
    assert 'x  y|n=3|true|[1,{"a":null}]|' == job.run("--json").tasks["a"]["output"]


@pytest.mark.parametrize("named", ["env", "env/bin/python"])
def test_python_names_the_interpreter(job: Builder, named: str) -> None:
    """``python`` is a file or a venv folder, and runs programs and modules only."""
    job.file("env/bin/python", f'#!/bin/sh\nMARK=1 exec {sys.executable} "$@"\n', mode=0o755)
    job.file("prog.py", "import os; print(os.environ.get('MARK'))")
    job.tasks(f"""
        a: {{mode: subprocess, program: prog.py, python: {named}, output: stdout}}
        b: {{mode: subprocess, module: prog, python: {named}, output: stdout, cwd: /}}
        c: {{mode: subprocess, program: prog.py, output: stdout}}
    """)
    tasks = job.run("--json").tasks
    assert ["1", "1", "None"] == [tasks[name]["output"] for name in "abc"]


def test_variables_of_a_program(job: Builder) -> None:
    """Programs know run, task, attempt and directories; a try has an output path of its own."""
    job.file(
        "prog.py",
        """
        import json, os
        names = "RUN_ID TASK ATTEMPT RUN_DIR OUTPUT".split()
        json.dump([os.environ["ORCH_" + n] for n in names], open(os.environ["ORCH_OUTPUT"], "w"))
        assert os.environ["PYTHONUNBUFFERED"] == os.environ["PYTHONFAULTHANDLER"] == "1"
    """,
    )
    job.tasks("a: {mode: subprocess, program: prog.py, foreach: [1]}")
    done = job.run("--json")
    folder = str(job.runs()[0])
    run, task, attempt, where, output = done.tasks["a"]["output"][0]
    assert (done.document["run"], "a.0", "1", folder) == (run, task, attempt, where)
    assert output.startswith(folder)


def test_variables_of_an_outer_run_are_not_the_tasks(job: Builder) -> None:
    """In a run within a run nobody takes the outer task's name for its own."""
    job.module(MODULE)
    job.tasks("""
        a: {mode: thread, function: "m:env", args: [ORCH_TASK, ORCH_OUTPUT]}
        b: {mode: process, function: "m:who"}
    """)
    tasks = job.run("--json", ORCH_TASK="outer", ORCH_OUTPUT="/x", ORCH_RUN_ID="outer").tasks
    assert ([None, None], ["b", 1, True]) == (tasks["a"]["output"], tasks["b"]["output"])


OUTPUTS = {
    "missing": ("true", None, None),
    "empty": (': > "$ORCH_OUTPUT"', None, None),
    "json": ("""echo '{"a": [1]}' > "$ORCH_OUTPUT" """, None, {"a": [1]}),
    "stdout": ("printf 'x\\ny\\n\\n'", "stdout", "x\ny"),
    "stdout_json": ("echo '[1, null]'", "json", [1, None]),
}


def test_output_of_a_program(job: Builder) -> None:
    """The output is the JSON in ``$ORCH_OUTPUT``, or stdout as text or as JSON."""
    for name, (script, _, _) in OUTPUTS.items():
        job.file(f"{name}.sh", script)
    job.tasks("".join(
        f"{name}: {{mode: subprocess, command: [sh, {name}.sh]"
        f"{f', output: {kind}' * bool(kind)}}}\n"
        for name, (_, kind, _) in OUTPUTS.items()
    ))  # fmt: skip
    tasks = job.run("--json").tasks
    expected = {name: ("succeeded", value) for name, (_, _, value) in OUTPUTS.items()}
    assert expected == {name: (task["state"], task["output"]) for name, task in tasks.items()}


def test_output_that_is_not_json_fails(job: Builder) -> None:
    """What is no JSON is an ``OutputError``; if the program failed anyway that is what is told."""
    job.tasks("""
        a: {mode: subprocess, shell: true, command: 'echo "{" > "$ORCH_OUTPUT"'}
        b: {mode: subprocess, shell: true, command: 'echo "{" > "$ORCH_OUTPUT"; exit 7'}
        c: {mode: subprocess, shell: true, command: 'echo NaN', output: json}
        d: {mode: subprocess, shell: true, command: "printf '\\\\377'", output: stdout}
        e: {mode: subprocess, output: stdout, shell: true, command: 'head -c 2000000 /dev/zero'}
    """)
    tasks = job.run("--json").tasks
    assert ["OutputError", "ExitStatus", *["OutputError"] * 3] == [
        task["error"]["type"] for task in tasks.values()
    ]
    assert ("exit status 7", 7) == (tasks["b"]["error"]["message"], tasks["b"]["exit_status"])


def test_ok_exit_codes(job: Builder) -> None:
    """Only the exit codes that are listed mean success."""
    job.tasks("""
        a: {mode: subprocess, shell: true, command: exit 1, ok_exit_codes: [0, 1]}
        b: {mode: subprocess, shell: true, command: exit 2, ok_exit_codes: [0, 1]}
        c: {mode: subprocess, shell: true, command: exit 0, ok_exit_codes: [3]}
    """)
    tasks = job.run("--json").tasks
    assert [("ok", 1), ("failed", 2), ("failed", 0)] == [
        (task["outcome"], task["exit_status"]) for task in tasks.values()
    ]


@pytest.mark.promise(13, 15)
def test_failed_programs_say_how(job: Builder) -> None:
    """Exit status, signal and what could not be launched are told apart."""
    job.file("no_exec", "x")
    job.tasks("""
        a: {mode: subprocess, shell: true, command: exit 9}
        b: {mode: subprocess, shell: true, command: 'kill -KILL $$'}
        c: {mode: subprocess, shell: true, command: 'kill -TERM $$'}
        d: {mode: subprocess, command: [/no/such/program]}
        e: {mode: subprocess, command: [./no_exec]}
    """)
    tasks = job.run("--json").tasks.values()
    assert [("ExitStatus", 9, None), ("Signal", None, 9), ("Signal", None, 15),
            ("LaunchError", 127, None), ("LaunchError", 126, None)] == [
        (task["error"]["type"], task["exit_status"], task["signal"]) for task in tasks
    ]  # fmt: skip
    assert "killed by SIGKILL, not by orch; out of memory?" == [*tasks][1]["error"]["message"]


@pytest.mark.promise(20)
@pytest.mark.parametrize("how", ["os._exit(0)", "os.kill(os.getpid(), 11)"])
def test_process_that_ends_without_a_result_fails(job: Builder, how: str) -> None:
    """A function that ends its process, with status 0 too, has failed, and orch goes on."""
    job.module(f"import os\ndef f(): {how}")
    job.tasks("a: {mode: process, function: 'm:f'}\nb: {mode: subprocess, command: ['true']}")
    tasks = job.run("--json").tasks
    assert ("failed", "succeeded") == (tasks["a"]["state"], tasks["b"]["state"])
    assert tasks["a"]["error"]["type"] in ("ExitStatus", "Signal")


# ``from orchestrator import task``


PROGRAM = "import m, json, os; json.dump(m.who(), open(os.environ['ORCH_OUTPUT'], 'w')); m.notes()"


@pytest.fixture(scope="module")
def noted(shared_job: Builder, spoken: Builder) -> Result:
    """Run a task in each mode that says something to orch."""
    assert spoken
    shared_job.file("prog.py", PROGRAM)
    shared_job.tasks("""
        a: {mode: thread, function: "m:notes"}
        b: {mode: process, function: "m:notes"}
        c: {mode: subprocess, program: prog.py}
    """)
    return shared_job.run("--events", "--log-format", "json")


@pytest.mark.parametrize("name", ["a", "b", "c"])
def test_task_knows_itself_in_a_program_too(noted: Result, name: str) -> None:
    """Each mode's task has its progress among the events, before its end."""
    assert 0 == noted.code
    kinds = noted.kinds(name)
    assert ("started", "ended") == (kinds[0], kinds[-1])
    said = [e["data"] for e in noted.events if e.get("task") == name and e["event"] == "noted"]
    assert {"done": 2, "total": 5} in said


@pytest.mark.parametrize("name", ["a", "b", "c"])
def test_task_log_is_in_orch_s_log(noted: Result, name: str) -> None:
    """``task.log`` writes structured lines, with bound fields, its level and the task's name."""
    lines = [line for line in noted.log if line.get("task") == name and line["event"] == "loaded"]
    assert [(3, "x", "info", 1)] == [
        (line["rows"], line["part"], line["level"], line["attempt"]) for line in lines
    ]


def test_program_knows_its_task(noted: Result) -> None:
    """In a program ``task`` has the name, the attempt and the run's id."""
    (ended,) = [e for e in noted.events if (e["event"], e.get("task")) == ("ended", "c")]
    assert ["c", 1, True] == ended["output"]


def test_cancelled_is_set_in_every_mode(job: Builder) -> None:
    """At its timeout a task that looks at ``task.cancelled`` can end by itself, in every mode."""
    job.module(MODULE)
    job.file("prog.py", "import m; m.polite()")
    job.tasks("""
        a: {mode: thread, function: "m:polite"}
        b: {mode: process, function: "m:polite"}
        c: {mode: subprocess, program: prog.py}
    """, "defaults: {timeout: 1.5, grace: 20}\nlimits: {processes: 2}")  # fmt: skip
    tasks = job.run("--json").tasks
    assert ["timed_out"] * 3 == [tasks[name]["outcome"] for name in "abc"]
    assert [True] * 3 == [(job.root / f"{name}.noticed").exists() for name in "abc"]


def test_task_is_harmless_outside_a_run() -> None:
    """Without a run there is no name, nothing is cancelled, and progress goes nowhere."""
    outside.progress(1, 2)
    outside.check()
    assert (None, None, None, False) == (
        outside.name, outside.attempt, outside.run_id, outside.cancelled,
    )  # fmt: skip


def test_thread_that_uses_multiprocessing(job: Builder) -> None:
    """A pool that ends its children by TERM ends them, not the run."""
    job.module(
        """
        import multiprocessing

        def square(x):
            return x * x

        def squares():
            with multiprocessing.get_context("fork").Pool(2) as pool:
                return pool.map(square, [1, 2, 3])
        """
    )
    job.tasks('a: {mode: thread, function: "m:squares"}')
    assert job.run("--json").tasks["a"]["output"] == [1, 4, 9]


def test_folders_without_init(job: Builder) -> None:
    """A function may be in folders of folders that are no packages of the old kind."""
    job.file("a/b/c/m.py", "def f():\n    return 'found'\n")
    job.tasks("a: {mode: thread, function: 'a.b.c.m:f'}\nb: {mode: process, function: 'a.b.c.m:f'}")
    done = job.run("--json")
    assert [task["output"] for task in done.tasks.values()] == ["found", "found"]
    assert job.orch("check", "job.yaml").code == 0
