"""One small builder that writes job files and modules and drives the real ``orch`` with them."""

import ctypes
import json
import os
import select
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent, indent
from typing import Any

from orchestrator.pythons import has_interpreters

# -P as with the installed script: the directory it is called in is not in sys.path
COMMAND = (sys.executable, "-P", "-m", "orchestrator")
TIMEOUT_S = 30.0
# The modes of functions here: that of interpreters needs Python 3.14.
FUNCTION_MODES = ("thread", "process", *(("interpreter",) if has_interpreters() else ()))
_DIES_WITHIN_MS = 1000


@dataclass(frozen=True)
class Result:
    """How a command ended: *code* is negative for a signal, as with ``subprocess``."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on stdout; anything else there is an error."""
        return json.loads(self.out)

    @property
    def tasks(self) -> dict[str, Any]:
        """The tasks of the document of ``run --json`` and ``show --json``."""
        return self.document["tasks"]

    @property
    def events(self) -> list[dict[str, Any]]:
        """The lines of ``--events``; a line that is not JSON is an error."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def log(self) -> list[dict[str, Any]]:
        """The lines of stderr with ``--log-format json``; one that is not JSON is an error."""
        return [json.loads(line) for line in self.err.splitlines()]

    def kinds(self, task: str) -> list[str]:
        """Return the kinds of the events of *task*, in order."""
        return [event["event"] for event in self.events if event.get("task") == task]


class Background:
    """A command that runs while the test goes on."""

    def __init__(self, argv: list[str], cwd: Path, env: dict[str, str]) -> None:
        self._err = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 - see finish
        self._process = subprocess.Popen(
            argv,
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._err,
            text=True,
            start_new_session=True,
        )
        self._killer = threading.Timer(TIMEOUT_S, self._process.kill)
        self._killer.daemon = True
        self._killer.start()
        self._lines: list[str] = []
        self.result: Result | None = None

    @property
    def pid(self) -> int:
        """The process id of orch."""
        return self._process.pid

    def line(self) -> str:
        """Return the next line of its stdout; end of file is an error."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise AssertionError(f"it ended before that: {self.finish()}")
        self._lines.append(line)
        return line

    def wait_for(self, kind: str, **fields: Any) -> dict[str, Any]:
        """Return the next event of *kind* with these *fields*, from ``--events``."""
        while True:
            event: dict[str, Any] = json.loads(self.line())
            if event["event"] == kind and fields.items() <= event.items():
                return event

    def signal(self, number: int) -> None:
        """Send signal *number* to orch alone."""
        self._process.send_signal(number)

    def signal_main(self, *numbers: int) -> None:
        """Send signals to the main thread of orch, all of them before it goes on."""
        libc = ctypes.CDLL(None)
        self.signal(signal.SIGSTOP)
        for number in numbers:
            libc.tgkill(self.pid, self.pid, int(number))
        self.signal(signal.SIGCONT)

    def finish(self) -> Result:
        """Wait for the end and return all that was written."""
        if self.result is None:
            rest, _ = self._process.communicate()
            self._killer.cancel()
            self._err.seek(0)
            out, err = "".join(self._lines) + rest, self._err.read()
            self._err.close()
            self.result = Result(self._process.returncode, out, err)
        return self.result

    def close(self) -> None:
        """Kill it if it still runs."""
        if self.result is None:
            self._process.kill()
            self.finish()


class Gate:
    """A named pipe: a task says that it has come to a point, or waits there until it is let on."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        os.mkfifo(path)
        self._descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK)

    def wait(self) -> None:
        """Wait until someone wrote a byte, and take it."""
        if not select.select([self._descriptor], [], [], TIMEOUT_S)[0]:
            raise AssertionError(f"nobody came to {self.path}")
        os.read(self._descriptor, 1)

    def read_until(self, text: bytes) -> bytes:
        """Wait until *text* was written, and return all that was."""
        data = b""
        while text not in data:
            if not select.select([self._descriptor], [], [], TIMEOUT_S)[0]:
                raise AssertionError(f"{text!r} did not come, but {data!r}")
            data += os.read(self._descriptor, 65536)
        return data

    def open(self) -> None:
        """Let who reads it go on."""
        os.write(self._descriptor, b"\n")

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self._descriptor)


class Builder:
    """A folder with a job file and modules, and the commands that are run in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._running: list[Background] = []
        self._gates: list[Gate] = []
        self._runs: list[Path] = []
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("ORCH_")}
        self.env = {**inherited, "PWD": str(root)}
        self.timeout_s = TIMEOUT_S

    def file(self, name: str, text: str, *, mode: int = 0o644) -> Path:
        """Write *text*, without its common indentation, to *name*."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text).lstrip("\n"))
        path.chmod(mode)
        return path

    def module(self, text: str, name: str = "m") -> None:
        """Write a module of the user's."""
        self.file(f"{name}.py", text)

    def write(self, text: str) -> None:
        """Write the whole job file."""
        self.file("job.yaml", text)

    def tasks(self, text: str, head: str = "") -> None:
        """Write a job file with the tasks in *text*, after *head*."""
        self.write(f"{dedent(head)}\ntasks:\n{indent(dedent(text), '  ')}")

    def gate(self, name: str) -> Gate:
        """Make a named pipe in the folder."""
        gate = Gate(self.root / name)
        self._gates.append(gate)
        return gate

    def orch(self, *args: str, stdin: str = "", cwd: str = ".", **env: str) -> Result:
        """Run ``orch ARGS`` to its end."""
        return self._run([*COMMAND, *args], stdin, self.root / cwd, env)

    def run(self, *args: str, **env: str) -> Result:
        """Run ``orch run job.yaml ARGS`` to its end."""
        return self.orch("run", "job.yaml", *args, **env)

    def shell(self, text: str, **env: str) -> Result:
        """Run *text* in bash, where ``orch`` is this one."""
        name = f'orch() {{ {shlex.join(COMMAND)} "$@"; }}\n'
        return self._run(["bash", "-c", name + dedent(text)], "", self.root, env)

    def _run(self, argv: list[str], stdin: str, cwd: Path, env: dict[str, str]) -> Result:
        done = subprocess.run(
            argv,
            input=stdin,
            capture_output=True,
            text=True,
            cwd=cwd,
            env={**self.env, "PWD": str(cwd), **env},
            timeout=self.timeout_s,
            check=False,
            start_new_session=True,
        )
        self.runs()  # ids tell seconds apart only
        return Result(done.returncode, done.stdout, done.stderr)

    def start(self, *args: str, before: str = "") -> Background:
        """Run ``orch run job.yaml --events ARGS`` in the background, after shell commands."""
        return self.start_orch("run", "job.yaml", "--events", *args, before=before)

    def start_orch(self, *args: str, before: str = "") -> Background:
        """Run ``orch ARGS`` in the background."""
        argv = ["sh", "-c", f'{before}\nexec "$@"', "sh", *COMMAND, *args]
        running = Background(argv, self.root, self.env)
        self._running.append(running)
        return running

    def runs(self) -> list[Path]:
        """Return the directories of the runs there are, in the order in which they were seen."""
        found = sorted(self.root.glob("**/.orch/runs/*"))
        self._runs += [run for run in found if run not in self._runs]
        return [run for run in self._runs if run in found]

    def written(self, name: str) -> str:
        """Return what the file *name* of the newest run holds; empty where there is none."""
        path = self.runs()[-1] / name
        return path.read_text() if path.exists() else ""

    def close(self) -> None:
        """End what still runs."""
        for running in self._running:
            running.close()
        for gate in self._gates:
            gate.close()

    def left_over(self) -> list[str]:
        """Return the command lines of processes of the runs that are alive; kill them."""
        cookies = {f"ORCH_RUN_ID={run.name}".encode() for run in self.runs()}
        return [said for pid in _pids() if (said := _alive(pid, cookies))] if cookies else []


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _alive(pid: int, cookies: set[bytes]) -> str | None:
    """Return the command line of a process that bears a cookie and does not end within 1 s."""
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        if cookies.isdisjoint(environment):
            return None
        said = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        descriptor = os.pidfd_open(pid)
    except OSError:
        return None  # it has ended, or is another's
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        if poll.poll(_DIES_WITHIN_MS):
            return None
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        return said or str(pid)
    finally:
        os.close(descriptor)
