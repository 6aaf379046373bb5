"""Warm starts: one conformance suite over programs that are started cold and warm."""

import json
import os
import re
import signal
import time
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from tests.builder import Builder, Gate, Result


class Programs:
    """Runs a program's text as a task, cold or warm."""

    def __init__(self, job: Builder, start: str) -> None:
        self.job, self.start = job, start

    def run(self, text: str, *, task: str = "", head: str = "", **env: str) -> Result:
        """Run *text* as ``folder/p.py`` and return how that went."""
        self.job.file("folder/p.py", text)
        self.job.tasks(
            f"a: {{mode: subprocess, program: folder/p.py, start: {self.start}{task}}}", head
        )
        done = self.job.run("--json", "--log-format", "json", **env)
        assert "no warm start" not in done.err
        return done

    def said(self, text: str, **more: Any) -> Any:
        """Run *text*, which succeeds, and return what it printed as JSON."""
        done = self.run("import json\n" + dedent(text), **more)
        assert done.code == 0, done
        return json.loads(self.job.written("a.1.out"))


@pytest.fixture(name="programs", params=["cold", "warm"])
def _programs(job: Builder, request: pytest.FixtureRequest) -> Programs:
    return Programs(job, request.param)


def test_it_runs_as_main(programs: Programs) -> None:
    """Its names, arguments, path, streams and session are those of a program."""
    found = programs.said(
        """
        import os, sys
        import __main__
        print(json.dumps({
            "name": __name__, "file": __file__, "spec": repr(__spec__), "doc": __doc__,
            "main": __main__.__dict__ is globals(), "argv": sys.argv, "package": __package__,
            "builtins": type(__builtins__).__name__, "loader": type(__loader__).__name__,
            "first": sys.path[0], "same": sorted(set(sys.path[1:])),
            "orig": sys.orig_argv[1:], "executable": sys.executable, "flags": str(sys.flags),
            "leads": os.getsid(0) == os.getpid() == os.getpgid(0), "folder": os.getcwd(),
            "names": [s.name for s in (sys.stdin, sys.stdout, sys.stderr)],
            "modes": [s.mode for s in (sys.stdin, sys.stdout, sys.stderr)],
            "encodings": [s.encoding for s in (sys.stdin, sys.stdout, sys.stderr)],
            "errors": [s.errors for s in (sys.stdin, sys.stdout, sys.stderr)],
            "line": [s.line_buffering for s in (sys.stdin, sys.stdout, sys.stderr)],
            "through": [s.write_through for s in (sys.stdin, sys.stdout, sys.stderr)],
            "stdin": sys.stdin.read(), "tty": sys.stdout.isatty(),
            "open": [n for n in range(256) if os.path.exists(f"/proc/self/fd/{n}")],
            "globals": sorted(name for name in globals() if name.startswith("__")),
        }))
        """,
        task=", args: [one, 'two three', '']",
    )
    folder = str(programs.job.root / "folder")
    assert found["argv"] == [f"{folder}/p.py", "one", "two three", ""]
    assert (found["name"], found["file"]) == ("__main__", f"{folder}/p.py")
    assert (found["spec"], found["doc"], found["package"]) == ("None", None, None)
    assert (found["main"], found["loader"]) == (True, "SourceFileLoader")
    assert (found["first"], found["orig"]) == (folder, found["argv"])
    assert (found["leads"], found["folder"]) == (True, str(programs.job.root))
    assert (found["stdin"], found["tty"]) == ("", False)
    assert found["open"] == [0, 1, 2]
    assert found["names"] == ["<stdin>", "<stdout>", "<stderr>"]
    assert found["modes"] == ["r", "w", "w"]
    told = ("executable", "flags", "encodings", "errors", "line", "through", "builtins", "globals")
    same = {name: found[name] for name in (*told, "same")}
    assert same == _as_cold(programs, same)


_cold: dict[str, Any] = {}


def _as_cold(programs: Programs, found: dict[str, Any]) -> dict[str, Any]:
    """Return what a cold program said of the same; it runs first."""
    if programs.start == "cold":
        _cold.update(found)
    if not _cold:
        pytest.skip("nothing to compare it with: the cold one runs elsewhere")
    return dict(_cold)


@pytest.mark.parametrize(
    ("text", "status", "said"),
    [
        ("pass", 0, ""),
        ("import sys; sys.exit(3)", 3, ""),
        ("import sys; sys.exit('why')", 1, "why\n"),
        ("import sys; sys.exit()", 0, ""),
        ("import sys; sys.exit(256 + 7)", 7, ""),
        ("import sys; sys.exit(-1)", 255, ""),
        ("raise SystemExit(4)", 4, ""),
        ("import os; os._exit(9)", 9, ""),
        ("exit(5)", 5, ""),
        ("import os; os.abort()", -signal.SIGABRT, None),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM, ""),
        ("raise KeyboardInterrupt", -signal.SIGINT, None),
        ("import sys; sys.stdout.close()", 0, ""),
        ("import atexit, os; atexit.register(os._exit, 6)", 6, ""),
        ("import threading, os; threading.Thread(target=lambda: os._exit(8)).start()", 8, ""),
    ],
)
def test_exit_status(programs: Programs, text: str, status: int, said: str | None) -> None:
    """However it ends, who waits for it sees the same."""
    done = programs.run(text)
    task = done.tasks["a"]
    found = task["exit_status"] if task["signal"] is None else -task["signal"]
    assert found == status
    if said is not None:
        assert programs.job.written("a.1.err") == said


@pytest.mark.parametrize(
    "text",
    [
        "def f():\n    1 / 0\n\nf()\n",
        "raise ValueError('odd')\n",
        "def f(:\n    pass\n",
        "import no_such_module\n",
        "try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    raise RuntimeError('b') from e\n",
        "import sys\nsys.excepthook = lambda *a: print('hooked', a[0].__name__)\n1 / 0\n",
        "import threading\ndef f(): 1 / 0\nt = threading.Thread(target=f, name='t')\nt.start()\n",
        "raise KeyboardInterrupt\n",
        "import atexit\n@atexit.register\ndef f(): 1 / 0\n",
    ],
)
def test_tracebacks(job: Builder, text: str) -> None:
    """What an uncaught exception prints is the same to the letter."""
    seen = []
    for start in ("cold", "warm"):
        programs = Programs(job, start)
        done = programs.run(text)
        task, errors = done.tasks["a"], re.sub("0x[0-9a-f]+", "", job.written("a.1.err"))
        seen.append((job.written("a.1.out"), errors, task["exit_status"], task["signal"]))
    assert seen[0] == seen[1]
    assert "server.py" not in seen[1][1]


def test_the_end_of_a_program(programs: Programs) -> None:
    """Threads are waited for, exit functions run last in first, what is buffered is written."""
    folder = programs.job.root
    programs.run(f"""
        import atexit, sys, threading, time
        class Noisy:
            def __del__(self): late.write("gone ")
        late = open({str(folder / "late")!r}, "w")
        kept = Noisy()
        atexit.register(lambda: print("second"))
        atexit.register(lambda: print("first"))
        def work():
            time.sleep(0.2)
            print("thread")
        threading.Thread(target=work).start()
        left = open({str(folder / "left")!r}, "w")
        left.write("buffered")
        sys.stdout.write("main\\n")
    """)
    assert programs.job.written("a.1.out") == "main\nthread\nfirst\nsecond\n"
    assert (folder / "left").read_text() == "buffered"


def test_environment(programs: Programs) -> None:
    """A program has its own, in ``os.environ`` and for what it starts; its path follows."""
    (programs.job.root / "lib").mkdir()
    programs.job.file("lib/found_there.py", "WHERE = 'lib'")
    found = programs.said(
        """
        import os, subprocess, time, found_there
        shown = subprocess.run(["sh", "-c", "echo $OWN-$ORCH_TASK-$UNSET"], capture_output=True)
        print(json.dumps({
            "own": os.environ["OWN"], "task": os.environ["ORCH_TASK"],
            "unset": "UNSET" in os.environ,
            "shell": shown.stdout.decode(), "where": found_there.WHERE, "zone": time.tzname[0],
            "room": "ORCH_WARM" in os.environ, "home": os.environ.get("PYTHONUNBUFFERED"),
        }))
        """,
        task=", env: {OWN: mine, UNSET: null, PYTHONPATH: lib, TZ: 'XYZ3'}",
        UNSET="set",
    )
    assert found == {
        "own": "mine", "task": "a", "unset": False, "shell": "mine-a-\n", "where": "lib",
        "zone": "XYZ", "room": False, "home": "1",
    }  # fmt: skip


def test_modules(programs: Programs) -> None:
    """``module`` runs as by ``python -m``."""
    programs.job.file("pkg/__init__.py", "")
    programs.job.file("pkg/__main__.py", """
        import json, sys
        print(json.dumps([__name__, __spec__.name, __package__, sys.argv, sys.path[0]]))
    """)  # fmt: skip
    programs.job.tasks(
        f"a: {{mode: subprocess, module: pkg, start: {programs.start}, args: [x], output: json}}"
    )
    done = programs.job.run("--json")
    root = str(programs.job.root)
    assert done.tasks["a"]["output"] == [
        "__main__", "pkg.__main__", "pkg", [f"{root}/pkg/__main__.py", "x"], root,
    ]  # fmt: skip


def test_signals(programs: Programs) -> None:
    """What a program finds ignored, blocked and handled is what Python begins with."""
    found = programs.said("""
        import signal
        handlers = {s.name: repr(signal.getsignal(s)) for s in signal.valid_signals()
                    if isinstance(s, signal.Signals) and s.name[:5] != "SIGRT"}
        handlers["SIGINT"] = handlers["SIGINT"].partition(" at ")[0]
        print(json.dumps({"blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
                          "handlers": handlers}))
    """)  # fmt: skip
    assert found["blocked"] == []
    ignored = {name for name, how in found["handlers"].items() if "IGN" in how}
    assert ignored == {"SIGPIPE", "SIGXFSZ"}
    assert "default_int_handler" in found["handlers"]["SIGINT"]


def test_timeout_and_kill(programs: Programs) -> None:
    """TERM, grace, KILL, for all of its group."""
    done = programs.run(
        """
        import signal, subprocess, sys
        signal.signal(signal.SIGTERM, lambda *_: print("asked", flush=True))
        subprocess.Popen(["sleep", "60"])
        while True:
            signal.pause()
        """,
        task=", timeout: 1s, grace: 200ms",
    )
    task = done.tasks["a"]
    assert (task["outcome"], task["signal"]) == ("timed_out", signal.SIGKILL)
    assert programs.job.written("a.1.out") == "asked\n"


@pytest.mark.parametrize("policy", ["kill", "warn"])
def test_leftovers(programs: Programs, policy: str) -> None:
    """A daemon that a program forks, without ``exec``, is found when the program ends."""
    gate = programs.job.gate("alive")
    done = programs.run(
        f"""
        import os, time
        alive, say = os.pipe()
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                with open({gate.path!r}, "w") as file:
                    file.write("x")
                os.write(say, b"x")
                time.sleep(30)
            os._exit(0)
        os.read(alive, 1)
        os.wait()
        """,
        task=f", leftovers: {policy}",
    )
    gate.wait()
    assert done.code == 0
    assert ("processes left behind" in done.err) == (policy == "warn")


def test_queues(programs: Programs) -> None:
    """Items go through stdin and stdout."""
    programs.job.file("give.py", "for i in range(1000): print(i)")
    programs.job.file("take.py", "import sys\nprint(sum(map(int, sys.stdin)))")
    start = programs.start
    programs.job.tasks(f"""
        wait: {{mode: subprocess, program: wait.py, start: {start}}}
        give: {{mode: subprocess, program: give.py, start: {start}, publish: q, needs: [wait]}}
        take: {{mode: subprocess, program: take.py, start: {start}, consume: q, output: json}}
    """, "queues: {q: {maxsize: 10}}\nlimits: {processes: 4}")  # fmt: skip
    programs.job.file("wait.py", "")
    done = programs.job.run("--json")
    assert done.code == 0, done
    assert done.tasks["take"]["output"] == 499500


def test_random_numbers_differ(job: Builder) -> None:
    """No two forks draw the same."""
    job.file("p.py", "import random; print(random.random())")
    job.tasks(
        "a: {mode: subprocess, program: p.py, start: warm, foreach: [1, 2, 3], output: json}",
        "warm: {preload: [random]}",
    )
    drawn = job.run("--json").tasks["a"]["output"]
    assert len(set(drawn)) == 3


def test_preloaded_modules_are_there(job: Builder) -> None:
    """They are imported once a run; a cold program imports them itself."""
    job.file("heavy.py", "with open('imported', 'a') as file: file.write('x')")
    job.file("p.py", "import sys\nprint('heavy' in sys.modules)\nimport heavy")
    job.tasks(
        "a: {mode: subprocess, program: p.py, start: warm, foreach: [1, 2, 3], output: stdout}",
        "warm: {preload: [heavy]}",
    )
    done = job.run("--json")
    assert done.tasks["a"]["output"] == ["True"] * 3, done
    assert (job.root / "imported").read_text() == "x"


@pytest.mark.parametrize(
    ("module", "said"),
    [
        ("raise ValueError('broken')", "ValueError: broken"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("import threading as t, time\nt.Thread(target=time.sleep, args=[9], daemon=True).start()",
         "started threads"),
        ("import os; os._exit(4)", "it ended"),
        ("import os; os.kill(os.getpid(), 9)", "it ended"),
        ("import no_such_thing", "no_such_thing"),
    ],
)  # fmt: skip
def test_where_preloading_fails(job: Builder, module: str, said: str) -> None:
    """Tasks start cold, with one warning."""
    job.file("heavy.py", module)
    job.file("p.py", "print('ran')")
    job.tasks(
        "a: {mode: subprocess, program: p.py, start: warm, foreach: [1, 2, 3], output: stdout}",
        "warm: {preload: [heavy]}",
    )
    done = job.run("--json", "--log-format", "json")
    assert done.code == 0, done
    assert done.tasks["a"]["output"] == ["ran"] * 3
    warnings = [line for line in done.log if line["event"] == "no warm start"]
    assert [said in line["reason"] for line in warnings] == [True]


def test_a_server_that_dies(job: Builder) -> None:
    """What it had started goes on and ends; its status is lost, and what follows starts cold."""
    job.file("p.py", """
        import os, signal, sys
        if sys.argv[1] == "0":
            os.kill(os.getppid(), signal.SIGKILL)
        print("ran", flush=True)
    """)  # fmt: skip
    job.tasks("""
        a: {mode: subprocess, program: p.py, args: ["0"], start: warm}
        b: {mode: subprocess, program: p.py, args: ["1"], start: warm, needs: [a], run_when: always}
    """)  # fmt: skip
    done = job.run("--json", "--log-format", "json")
    assert job.written("a.1.out") == "ran\n"
    assert done.tasks["b"]["state"] == "succeeded"
    assert [line["event"] for line in done.log].count("no warm start") == 1


def test_another_start_of_python_is_cold(job: Builder) -> None:
    """Variables that Python reads when it begins cannot be filled in later."""
    job.file("p.py", "import sys; print(hash('a'), sys.flags.optimize)")
    job.tasks("""
        a: {mode: subprocess, program: p.py, start: warm, env: {PYTHONHASHSEED: "0"}}
        b: {mode: subprocess, program: p.py, start: warm, env: {PYTHONOPTIMIZE: "1"}}
        c: {mode: subprocess, program: p.py, start: cold, env: {PYTHONHASHSEED: "0"}}
    """)  # fmt: skip
    assert job.run("-q").code == 0
    assert job.written("a.1.out") == job.written("c.1.out")
    assert job.written("b.1.out").split()[1] == "1"


def test_stopped_before_the_server_is_ready(job: Builder) -> None:
    """A program that waits for its server ends at once when the run is stopped."""
    gate: Gate = job.gate("importing")
    job.file("heavy.py", f"open({gate.path!r}, 'w').write('x')\nimport time; time.sleep(60)")
    job.file("p.py", "")
    job.tasks(
        "a: {mode: subprocess, program: p.py, start: warm}", "warm: {preload: [heavy]}\ngrace: 10s"
    )
    running = job.start()
    running.wait_for("started")
    gate.wait()
    began = time.monotonic()
    running.signal(signal.SIGTERM)
    assert running.finish().code == -signal.SIGTERM
    assert time.monotonic() - began < 5


def test_a_missing_program_and_folder(programs: Programs) -> None:
    """Both are told as when they are started cold."""
    programs.job.file("folder/p.py", "")
    programs.job.module("import shutil\n\ndef gone(name): shutil.rmtree(name)")
    start = programs.start
    (programs.job.root / "other").mkdir()
    programs.job.tasks(f"""
        first: {{mode: subprocess, program: folder/p.py, start: {start}}}
        rm: {{mode: process, function: "m:gone", args: [folder], needs: [first]}}
        rm2: {{mode: process, function: "m:gone", args: [other], needs: [first]}}
        a: {{mode: subprocess, program: folder/p.py, start: {start}, needs: [rm]}}
        b: {{mode: subprocess, module: json.tool, start: {start}, cwd: other, needs: [rm2]}}
    """)  # fmt: skip
    done = programs.job.run("--json")
    assert done.tasks["a"]["exit_status"] == 2
    assert "can't open file" in programs.job.written("a.1.err")
    assert done.tasks["b"]["outcome"] == "launch_failed"
    assert "other: no such file or directory" in done.tasks["b"]["error"]["message"]


def test_a_large_environment(programs: Programs) -> None:
    """Hundreds of kilobytes are passed on."""
    big = {f"BIG{i}": "x" * 100_000 for i in range(5)}
    found = programs.said(
        "import os\nprint(json.dumps(sum(len(v) for k, v in os.environ.items() if 'BIG' in k)))",
        **big,
    )
    assert found == 500_000


def test_nothing_is_left(job: Builder) -> None:
    """The server ends with the run, also where orch is killed."""
    gate = job.gate("who")
    job.file("p.py", f"""
        import os, time
        with open({gate.path!r}, "w") as file:
            file.write(f"{{os.getppid()}};")
        time.sleep(60)
    """)  # fmt: skip
    job.tasks("a: {mode: subprocess, program: p.py, start: warm}")
    running = job.start()
    server = int(gate.read_until(b";").strip(b";"))
    os.kill(_parent_of(server), signal.SIGKILL)
    running.finish()
    assert not Path(f"/proc/{server}").exists()


def _parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ("{mode: subprocess, command: [ls], start: warm}", "goes with `program` or `module`"),
        ("{mode: thread, function: 'm:f', start: warm}", "`start` goes with mode `subprocess`"),
        ("{mode: subprocess, program: p.py, start: hot}", "expected `cold` or `warm`"),
    ],
)
def test_what_cannot_be(job: Builder, task: str, said: str) -> None:
    """Keys that do not go together are told."""
    job.file("p.py", "")
    job.module("def f(): pass")
    job.tasks(f"a: {task}")
    done = job.run()
    assert done.code == 3
    assert said in done.err


def test_a_default_for_those_that_can(job: Builder) -> None:
    """``start: warm`` in the defaults is for programs and modules alone."""
    job.file("p.py", "print('warm')")
    job.tasks("""
        a: {mode: subprocess, program: p.py}
        b: {mode: subprocess, command: ['true']}
        c: {mode: thread, function: 'm:f'}
    """, "defaults: {start: warm}")  # fmt: skip
    job.module("def f(): pass")
    assert job.run("-q").code == 0
