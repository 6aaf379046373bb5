"""Output of tasks, terminals, broken and closed streams, signals: all with the real thing."""

import hashlib
import os
import pty
import re
import select
import shlex
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from orchestrator import procfs
from tests.builder import COMMAND, TIMEOUT_S, Builder, Gate
from tests.faults.test_no_orphans import comes_to, family

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")

HOLD = "a: {mode: subprocess, shell: true, command: 'echo > ready; sleep 60'}"


# 24: no lost line


LINES = """
import os, sys, threading
def f():
    for number in range(500):
        print("line", number)
        print("error", number, file=sys.stderr)
    with open("ready", "w") as file:
        file.write("x")
    os.read(os.open("never", os.O_RDONLY), 1)
"""
THREE = """
    program: {mode: subprocess, program: p.py}
    process: {mode: process, function: "m:f"}
    thread: {mode: thread, function: "m:f"}
"""


def _three(job: Builder, keys: str = "", tasks: str = THREE) -> Gate:
    job.module(LINES)
    job.file("p.py", "import sys\nsys.path.insert(0, '.')\nimport m\nm.f()")
    job.gate("never")
    job.tasks(tasks.replace("}", f"{keys}}}"), "grace: 0.2\nlimits: {processes: 3}")
    return job.gate("ready")


def _all_lines(job: Builder, names: tuple[str, ...]) -> int:
    """Return how many files there are in which no line is missing."""
    whole = {kind: [f"{word} {n}" for n in range(500)] for kind, word in
             (("out", "line"), ("err", "error"))}  # fmt: skip
    return sum(
        job.written(f"{name}.1.{kind}").splitlines()[:500] == lines
        for name in names
        for kind, lines in whole.items()
    )


@pytest.mark.promise(24)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_no_line_is_lost_with_orch(
    job: Builder, number: int, faults: Callable[[int, int], None]
) -> None:
    """What a task of any mode has printed when orch is killed stands in its file."""
    ready = _three(job)
    running = job.start()
    for _ in range(3):
        ready.wait()
    os.kill(family(running)["orch"] if number == signal.SIGKILL else running.pid, number)
    assert running.finish().code == -number
    whole = _all_lines(job, ("program", "process", "thread"))
    faults(6, whole)
    assert whole == 6


@pytest.mark.promise(24)
def test_no_line_is_lost_with_the_task(job: Builder) -> None:
    """What a program or a process has printed when it is killed stands in its file."""
    ready = _three(job, ", grace: 0", "\n".join(THREE.splitlines()[:3]))
    running = job.start()
    for _ in range(2):
        ready.wait()
    for pid in _attempts_of(family(running)["orch"]):
        os.kill(pid, signal.SIGKILL)
    assert running.finish().code == 1
    assert _all_lines(job, ("program", "process")) == 4


def _attempts_of(pid: int) -> list[int]:
    """Return what runs as a task below orch, whoever has forked it."""
    return [
        child
        for child in procfs.descendants(pid)
        if any(entry.startswith(b"ORCH_TASK=") for entry in procfs.environment(child))
    ]


@pytest.mark.promise(24)
def test_python_programs_do_not_buffer(job: Builder) -> None:
    """Python programs, and no others, get what makes them write at once and name crashes."""
    show = "[sh, -c, 'echo $PYTHONUNBUFFERED $PYTHONFAULTHANDLER']"
    job.file("p.py", "import os; print(*(os.environ[f'PYTHON{n}'] for n in "
             "('UNBUFFERED', 'FAULTHANDLER')))")  # fmt: skip
    job.tasks(f"""
        a: {{mode: subprocess, program: p.py}}
        b: {{mode: subprocess, command: {show}}}
    """)
    for name in ("PYTHONUNBUFFERED", "PYTHONFAULTHANDLER"):
        job.env.pop(name, None)
    assert job.run().code == 0
    assert job.written("a.1.out").split() == ["1", "1"]
    assert job.written("b.1.out").split() == []


# 25: output of any shape


SHAPES = {
    "binary": "bytes(range(256)) * 1000",
    "not_utf_8": "b'\\xff\\xfe\\x80' * 1000 + b'\\n'",
    "bars": "b''.join(b'\\r%d %%' % n for n in range(5000))",
    "nul": "b'\\0' * 100000",
    "crlf": "b'a\\r\\nb\\r\\n' * 1000",
    "no_newline": "b'end'",
    "long_line": "b'x' * 300_000 + b'\\n'",
}


@pytest.mark.promise(25, 26)
@pytest.mark.parametrize("shown", ["live", "failed"])
def test_output_is_exact(job: Builder, shown: str, faults: Callable[[int, int], None]) -> None:
    """Whatever bytes a task writes, its file has them; nothing of it steers a screen."""
    functions = "".join(f"def {name}(): write({text})\n" for name, text in SHAPES.items())
    job.module(
        "import sys\ndef write(data):\n    sys.stdout.buffer.write(data)\n"
        f"    sys.stdout.flush()\n{functions}"
    )
    job.file("p.py", "import sys\nsys.path.insert(0, '.')\nimport m\ngetattr(m, sys.argv[1])()")
    job.tasks("\n".join(
        f"{name}_{mode}: {{mode: {mode}, " + (
            f"program: p.py, args: [{name}]}}" if mode == "subprocess"
            else f"function: 'm:{name}'}}")
        for name in SHAPES for mode in ("thread", "process", "subprocess")
    ))  # fmt: skip
    done = job.run("--task-output", shown, "--log-format", "console")
    assert done.code == 0
    run = job.runs()[-1]
    names = [(name, f"{name}_{mode}") for name in SHAPES
             for mode in ("thread", "process", "subprocess")]  # fmt: skip
    wrong = [task for name, task in names
             if (run / f"{task}.1.out").read_bytes() != eval(SHAPES[name])]  # fmt: skip
    faults(len(names), len(names) - len(wrong))
    assert wrong == []
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", done.err)


MIB = 64


@pytest.mark.promise(25)
@pytest.mark.parametrize("shown", ["failed", "live"])
@pytest.mark.parametrize("mode", ["subprocess", "process"])
def test_much_without_a_newline(job: Builder, mode: str, shown: str) -> None:
    """Of 64 MiB without a newline no byte is lost, and orch grows by less than 20 MiB."""
    write = "import os\nfor _ in range(64): os.write(1, b'0123456789abcdef' * 65536)"
    job.module("def f():\n    " + write.replace("\n", "\n    ").replace("for _", "\n    for _"))
    job.file("p.py", write)
    target = "program: p.py" if mode == "subprocess" else 'function: "m:f"'
    job.tasks(f"""
        a: {{mode: {mode}, {target}, needs: [first]}}
        first: {{mode: {mode}, command: ["true"]}}
        last: {{mode: subprocess, shell: true, command: "echo > ready; read x < go", needs: [a]}}
    """.replace("mode: process, command", "mode: subprocess, command"))  # fmt: skip
    ready, go = job.gate("ready"), job.gate("go")
    small = _peak_kib(job, "job.yaml", "--only", "first")
    running = job.start("--task-output", shown, "-q")
    ready.wait()
    grown = _high_water_kib(family(running)["orch"]) - small
    go.open()
    assert running.finish().code == 0
    digest = hashlib.sha256(b"0123456789abcdef" * (65536 * MIB)).digest()
    with (job.runs()[-1] / "a.1.out").open("rb") as file:
        assert hashlib.file_digest(file, "sha256").digest() == digest
    assert grown < 20 * 1024


def _high_water_kib(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found
    return int(found[1])


def _peak_kib(job: Builder, *args: str) -> int:
    """Return the most memory that a small run of orch has in use."""
    job.module("import re\ndef f(): return int(re.search(r'VmHWM:\\s+(\\d+)', "
               "open('/proc/self/status').read())[1])", "own")  # fmt: skip
    del args
    job.file("small.yaml", """
        tasks:
          a: {mode: subprocess, command: ["true"]}
          b: {mode: thread, function: "own:f", needs: [a]}
    """)  # fmt: skip
    return int(job.orch("run", "small.yaml", "--json").tasks["b"]["output"])


# 26, 29: terminals


class Terminal:
    """A terminal, and a shell script that runs in its foreground with job control."""

    def __init__(self, job: Builder, script: str, **env: str) -> None:
        job.file("script.sh", f'orch() {{ {shlex.join(COMMAND)} "$@"; }}\n{script}')
        self._pid, self._master = pty.fork()
        if self._pid == 0:
            with suppress(BaseException):
                os.chdir(job.root)
                os.execvpe("bash", ["bash", "script.sh"], {**job.env, "TERM": "xterm", **env})
            os._exit(1)
        self.said = b""
        self.code: int | None = None

    def press(self, key: bytes) -> None:
        """Write to it what a key sends."""
        os.write(self._master, key)

    def finish(self) -> int:
        """Read all that is written to it; return how the script ended, as ``subprocess`` does."""
        while self.code is None:
            if not select.select([self._master], [], [], TIMEOUT_S)[0]:
                raise AssertionError(f"it does not end: {self.said!r}")
            try:
                data = os.read(self._master, 65536)
            except OSError:
                data = b""
            self.said += data
            if not data:
                self.code = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
        return self.code

    def hang_up(self) -> int:
        """Close it, as who closes its window does; return how the script ended."""
        os.close(self._master)
        self._master = -1
        self.code = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
        return self.code

    def close(self) -> None:
        """End what still runs."""
        if self._master >= 0:
            os.close(self._master)
        if self.code is None:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)


@pytest.fixture
def terminal(job: Builder) -> Iterator[Callable[..., Terminal]]:
    """Give what runs a script on a terminal."""
    made: list[Terminal] = []

    def make(script: str, **env: str) -> Terminal:
        made.append(Terminal(job, script, **env))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.mark.promise(29)
@pytest.mark.parametrize("key", [b"\x03"], ids=["ctrl_c"])
def test_ctrl_c_ends_a_shells_loop(
    job: Builder, terminal: Callable[..., Terminal], key: bytes
) -> None:
    """One Ctrl-C ends the run and the loop that it stands in: no second turn begins."""
    ready = job.gate("ready")
    job.tasks(HOLD)
    shell = terminal('for i in 1 2 3; do orch run job.yaml; echo "turn $i"; done\necho after')
    ready.wait()
    shell.press(key)
    assert shell.finish() == -signal.SIGINT
    assert b"turn" not in shell.said
    assert b"after" not in shell.said
    assert len(job.runs()) == 1
    assert job.orch("show", "--json").document["state"] == "cancelled"


@pytest.mark.promise(29)
def test_ctrl_c_twice(job: Builder, terminal: Callable[..., Terminal]) -> None:
    """The second one kills what ignores the first."""
    ready, told = job.gate("ready"), job.gate("told")
    job.tasks("""
        a: {mode: subprocess, shell: true, grace: 1h,
            command: "trap 'echo > told' TERM; echo > ready; while :; do sleep 0.05; done"}
    """)
    shell = terminal("orch run job.yaml; echo after")
    ready.wait()
    shell.press(b"\x03")
    told.wait()
    shell.press(b"\x03")
    assert shell.finish() == -signal.SIGINT
    task = job.orch("show", "--json").tasks["a"]
    assert (task["outcome"], task["signal"]) == ("stopped", signal.SIGKILL)


@pytest.mark.promise(29)
def test_hang_up(job: Builder, terminal: Callable[..., Terminal]) -> None:
    """When the terminal goes away the run is stopped, and recorded as such."""
    ready = job.gate("ready")
    job.tasks(HOLD)
    shell = terminal("exec " + shlex.join([*COMMAND, "run", "job.yaml"]))
    ready.wait()
    assert shell.hang_up() == -signal.SIGHUP
    assert job.orch("show", "--json").document["state"] == "cancelled"


ESCAPES = "\x1b[2J\x1b]0;title\x07\x9b31m\u202eabc\u2066\x85\x08\x7f"


@pytest.mark.promise(26)
@pytest.mark.parametrize("shown", ["live", "failed"])
def test_nothing_steers_a_terminal(
    job: Builder, terminal: Callable[..., Terminal], shown: str
) -> None:
    """Neither what tasks print nor their errors, names of files, nor the job file's texts."""
    job.module(f"""
        import sys
        from orchestrator import task
        text = {ESCAPES!r}
        def f():
            print(text)
            print(text, file=sys.stderr)
            task.log.warning(text, key=text)
            task.progress(1, 2)
            raise ValueError(text)
    """)
    name = f"odd{ESCAPES}.yaml".replace("/", "")
    job.tasks("""
        a: {mode: thread, function: "m:f"}
        b: {mode: process, function: "m:f"}
        c: {mode: subprocess, command: ["\\e[5m\\u202e"]}
    """)
    (job.root / "job.yaml").rename(job.root / name)
    shell = terminal(f"""
        orch check {shlex.quote(name)}
        orch run {shlex.quote(name)} -v --task-output {shown}
        orch show; orch logs last; orch runs; orch plan {shlex.quote(name)}
        orch run {shlex.quote(ESCAPES)}; orch show {shlex.quote(ESCAPES)}
    """, NO_COLOR="1")  # fmt: skip
    shell.finish()
    text = shell.said.decode()
    harmless = re.sub(r"\x1b\[(\d*A|\d*[JK]|[012]?m|\?25[lh]|\d*G)|\r|\n", "", text)
    assert "ValueError" in text
    found = re.findall(
        r".{0,40}[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069].{0,40}", harmless
    )
    assert found == []


@pytest.mark.promise(26)
@pytest.mark.parametrize(("env", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_colours(
    job: Builder, terminal: Callable[..., Terminal], env: dict[str, str], *, coloured: bool
) -> None:
    """Colours are for terminals, and for those who want them."""
    job.env.pop("NO_COLOR", None)
    job.tasks("a: {mode: subprocess, command: ['false']}")
    shell = terminal("orch run job.yaml", **env)
    assert shell.finish() == 1
    assert coloured == bool(re.search(rb"\x1b\[[0-9;]*m", shell.said))
    assert "\x1b" not in job.run().err


# 27: broken sinks


@pytest.mark.promise(27)
def test_head_of_events(job: Builder) -> None:
    """``| head -1`` drops stdout: the tasks go on, the exit code is theirs, it is said once."""
    job.gate("ready")
    job.tasks("""
        first: {mode: subprocess, command: ["true"]}
        many: {mode: thread, function: "m:f", foreach: "{{ range(50) }}", needs: [gone]}
        gone: {mode: subprocess, shell: true, command: "read x < ready"}
        fails: {mode: subprocess, command: ["false"], needs: [many]}
    """)
    job.module("def f(): pass")
    done = job.shell("""
        orch run job.yaml --events | { head -1; echo > ready; }
        exit ${PIPESTATUS[0]}
    """)
    assert done.code == 1
    assert len(done.out.splitlines()) == 1
    assert len(re.findall("stdout", done.err)) == 1
    tasks = job.orch("show", "--json").tasks
    assert [task["state"] for task in tasks.values()] == ["succeeded"] * 3 + ["failed"]


@pytest.mark.promise(27)
@pytest.mark.parametrize("command", ["runs", "show", "logs last", "plan job.yaml", "schema"])
def test_read_only_commands_and_head(job: Builder, command: str) -> None:
    """Commands that only print end with 141 and without a word when nobody reads."""
    job.tasks("a: {mode: subprocess, command: [seq, '200000']}")
    job.run("-q")
    done = job.shell(f"orch {command} | sleep 0; exit ${{PIPESTATUS[0]}}")
    assert (done.code, done.err) == (141, "")


@pytest.mark.promise(27)
def test_both_broken(job: Builder) -> None:
    """With nobody at stdout nor stderr, and a full log file, the run is as it should be."""
    job.tasks("a: {mode: subprocess, command: ['false']}\nb: {mode: subprocess, command: ['true']}")
    for where in ("> /dev/full 2> /dev/full", "2>&1 | sleep 0; exit ${PIPESTATUS[0]}"):
        done = job.shell(f"orch run job.yaml --events -v --log-file /dev/full {where}")
        assert done.code == 1
        states = [task["state"] for task in job.orch("show", "--json").tasks.values()]
        assert states == ["failed", "succeeded"]


# 28: closed descriptors


@pytest.mark.promise(28)
@pytest.mark.parametrize("closed", ["0", "1", "2", "01", "02", "12", "012"])
@pytest.mark.parametrize("keeper", ["", "--no-keeper"], ids=["kept", "not kept"])
def test_closed_descriptors(job: Builder, closed: str, keeper: str) -> None:
    """Whichever were closed: tasks of all modes write to their files, and the journal is whole."""
    job.module("import os\ndef f():\n    print('out')\n    os.system('echo raw')\n    return 5")
    job.tasks("""
        a: {mode: thread, function: "m:f"}
        b: {mode: process, function: "m:f"}
        c: {mode: subprocess, shell: true, command: "cat; echo out; echo err >&2"}
        d: {mode: subprocess, command: [readlink, /proc/self/fd/0], output: stdout}
    """)
    redirections = " ".join(f"{number}>&-" for number in closed)
    assert job.shell(f"orch run job.yaml -v --events {keeper} {redirections}").code == 0
    assert job.written("a.1.out") == "out\n"
    assert job.written("b.1.out").split() == ["out", "raw"]
    assert (job.written("c.1.out"), job.written("c.1.err")) == ("out\n", "err\n")
    shown = job.orch("show", "--json")
    assert [task["output"] for task in shown.tasks.values()] == [5, 5, None, "/dev/null"]
    with closing(sqlite3.connect(job.runs()[0] / "journal.db")) as journal:
        assert journal.execute("PRAGMA integrity_check").fetchone() == ("ok",)


# 29: signals


@pytest.mark.promise(29)
def test_first_and_second_and_third(job: Builder) -> None:
    """The third signal leaves at once, whatever still runs; the keeper kills the rest."""
    ready, stopped = job.gate("ready"), job.gate("stopped")
    job.module("""
        import os, signal, time
        from orchestrator import task
        def f():
            open("ready", "w").write("x")
            while not task.cancelled: time.sleep(0.005)
            open("stopped", "w").write("x")
            while True: time.sleep(1)
    """)
    job.tasks("""
        a: {mode: thread, function: "m:f", grace: 1h}
        b: {mode: subprocess, shell: true, grace: 1h, command: "trap '' TERM; setsid sleep 99"}
    """, "grace: 1h")  # fmt: skip
    running = job.start()
    ready.wait()
    running.signal(signal.SIGINT)
    stopped.wait()
    os.kill(family(running)["orch"], signal.SIGSTOP)
    running.signal(signal.SIGTERM)
    running.signal(signal.SIGHUP)
    os.kill(family(running)["orch"], signal.SIGCONT)
    done = running.finish()
    assert -done.code in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    assert job.left_over() == []


@pytest.mark.promise(29)
def test_nothing_new_starts(job: Builder) -> None:
    """After the first signal only cleaning up whose needs had begun starts, then the summary."""
    ready = job.gate("ready")
    job.tasks("""
        a: {mode: subprocess, shell: true,
            command: "trap 'exit 0' TERM; echo > ready; sleep 60 & wait"}
        next: {mode: subprocess, command: [touch, next], needs: [a]}
        queued: {mode: subprocess, command: [touch, queued], priority: -1}
        clean: {mode: subprocess, command: [touch, cleaned], needs: [a], run_when: always}
        other: {mode: subprocess, command: [touch, other], needs: [next], run_when: always}
    """, "limits: {processes: 1}")  # fmt: skip
    running = job.start()
    ready.wait()
    running.signal(signal.SIGTERM)
    done = running.finish()
    assert done.code == -signal.SIGTERM
    made = [name for name in ("next", "queued", "cleaned", "other") if (job.root / name).exists()]
    assert made == ["cleaned"]
    assert done.events[-1]["event"] == "finished"
    shown = job.orch("show", "--json").document
    assert (shown["state"], shown["exit_code"]) == ("cancelled", 128 + signal.SIGTERM)


@pytest.mark.promise(29)
@pytest.mark.parametrize(
    ("how", "ignored", "deadly"),
    [("nohup", signal.SIGHUP, signal.SIGTERM), ("&", signal.SIGINT, signal.SIGTERM)],
)
def test_ignored_stays_ignored(
    job: Builder, how: str, ignored: signal.Signals, deadly: signal.Signals
) -> None:
    """Under ``nohup`` HUP means nothing, after ``&`` INT: for tasks too; TERM ends the run."""
    ready = job.gate("ready")
    job.tasks("""
        a: {mode: subprocess, shell: true,
            command: "grep SigIgn /proc/self/status; echo > ready; sleep 60"}
    """)
    command = shlex.join([*COMMAND, "run", "job.yaml"])
    prefix = "nohup" if how == "nohup" else ""
    shell = subprocess.Popen(
        ["sh", "-c", f"{prefix} {command} > out 2>&1 & echo $!; wait $!"],
        cwd=job.root, env=job.env, stdout=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    assert shell.stdout is not None
    pid = int(shell.stdout.readline())
    ready.wait()
    os.kill(pid, ignored)
    os.kill(pid, signal.SIGUSR1)
    assert comes_to(lambda: "running now" in (job.root / "out").read_text())
    assert job.orch("show", "--json").document["state"] == "running"
    os.kill(pid, deadly)
    shell.communicate()
    assert shell.returncode == 128 + deadly
    mask = int(job.written("a.1.out").split()[1], 16)
    assert mask >> (ignored - 1) & 1


@pytest.mark.promise(29)
@pytest.mark.parametrize("kind", ["--fail-fast", "timeout"])
def test_other_ends_are_like_a_signal(job: Builder, kind: str) -> None:
    """At ``--fail-fast`` and the run's time limit too: TERM, cleaning up, nothing else."""
    job.tasks("""
        a: {mode: subprocess, shell: true, command: "trap 'echo told; exit' TERM; echo > on;
            sleep 60 & wait"}
        b: {mode: subprocess, shell: true, command: "read x < on; exit 1"}
        clean: {mode: subprocess, command: [touch, cleaned], needs: [a], run_when: always}
        next: {mode: subprocess, command: [touch, next], needs: [a]}
    """, "limits: {processes: 4}" + ("\ntimeout: 1.5" if kind == "timeout" else ""))  # fmt: skip
    job.gate("on")
    done = job.run("--json", *([kind] if kind != "timeout" else []))
    assert done.code == (124 if kind == "timeout" else 1)
    assert job.written("a.1.out") == "told\n"
    assert ((job.root / "cleaned").exists(), (job.root / "next").exists()) == (True, False)


@pytest.mark.promise(29)
def test_cancelled_is_told_to_functions(job: Builder) -> None:
    """The first signal sets ``task.cancelled`` on threads and in processes."""
    ready = job.gate("ready")
    job.module("""
        import time
        from orchestrator import task
        def f():
            task.cancelled  # who never looks is ended by TERM
            open("ready", "w").write("x")
            while not task.cancelled: time.sleep(0.005)
            print("heard")
    """)
    job.tasks('a: {mode: thread, function: "m:f"}\nb: {mode: process, function: "m:f"}')
    running = job.start()
    ready.wait()
    ready.wait()
    running.signal(signal.SIGINT)
    assert running.finish().code == -signal.SIGINT
    assert [job.written(f"{name}.1.out") for name in "ab"] == ["heard\n"] * 2
