"""orch's side of warm starts: servers, one for each Python and kind of work, and their children."""

from __future__ import annotations

import os
import sys
import threading
from time import monotonic, sleep

from orchestrator import jsonio, procfs
from orchestrator.events import Ended, Failure, Noted
from orchestrator.lean import signal, socket
from orchestrator.runners.children import LOOK_S, Child, Exit
from orchestrator.runners.spawn import spawn
from orchestrator.warm import server as server_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from orchestrator.events import Attempt
    from orchestrator.plan.model import Plan
    from orchestrator.runners import Now, Post
    from orchestrator.runners.children import Watcher
    from orchestrator.runners.spawn import Streams

    Begin = Callable[[Attempt, "Server | None"], None]

ANSWER_S = 10.0  # how long a server may take to fork; then it hangs
_MOST_BYTES = 65536
_PACKAGE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# Variables that Python, or the loader, looks at when it begins: with others only a cold start does.
_AT_START = ("PYTHON", "LD_", "LC_", "MALLOC_", "GLIBC_")
_AT_START_TOO = ("LANG", "HOME")
_FILLED_IN = ("PYTHONPATH", "PYTHONUNBUFFERED", "PYTHONFAULTHANDLER")
_ROOM = "x" * 500  # of an environment, for the marks of a child: see the server


class _Gone(Exception):
    """The server does not answer any more."""


class Server:
    """One server: *functions* are called in its forks, or programs run."""

    def __init__(
        self,
        python: str,
        env: Mapping[str, str],
        wanted: Mapping[str, Any],
        watcher: Watcher,
        warn: Callable[[Attempt, str], None],
    ) -> None:
        """Start it; it is ready later. *warn* is told why it cannot serve. Raises ``OSError``."""
        self._warn = warn
        self.wrong: str | None = None
        self._ready = False
        self._waiting: list[Callable[[], None]] = []
        self._lock = threading.Lock()  # of the state
        self._turn = threading.Lock()  # of the link: a request and its answer at a time
        ours, theirs = socket.socketpair(
            socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC
        )
        self._link, self._watcher = ours, watcher
        try:
            ours.send(jsonio.compact(dict(wanted)).encode())
            argv = [python, server_file.__file__]
            self.pid, self._process = spawn(argv, None, env, (theirs.fileno(), 1, 2))
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        watcher.when_readable(ours.fileno(), self._hear)

    def when_ready(self, call: Callable[[], None]) -> None:
        """Do *call* as soon as it is known whether the server can serve: ``wrong`` tells."""
        with self._lock:
            if not self._ready and self.wrong is None:
                self._waiting.append(call)
                return
        call()

    @property
    def is_settled(self) -> bool:
        """Whether it is known by now whether it can serve."""
        return self._ready or self.wrong is not None

    def _hear(self) -> None:
        """Take the first answer; on the poller's thread."""
        self._watcher.forget(self._link.fileno())
        try:
            answer = jsonio.loads(self._link.recv(_MOST_BYTES) or b'{"failed": "it ended"}')
        except (OSError, jsonio.OutputError) as error:
            answer = {"failed": str(error)}
        self._settle(answer.get("failed"))

    def _settle(self, wrong: str | None) -> None:
        with self._lock:
            self._ready, self.wrong = wrong is None, wrong
            waiting, self._waiting = self._waiting, []
        for call in waiting:
            call()

    def _ask(self, request: Mapping[str, Any], given: Sequence[int] = ()) -> Any:
        """Return the answer to *request*, which descriptors come with. Raises ``_Gone``."""
        rights = b"".join(number.to_bytes(4, sys.byteorder) for number in given)
        with self._turn:
            try:
                self._link.settimeout(ANSWER_S)
                data = jsonio.compact(dict(request)).encode()
                extra = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)] if given else []
                self._link.sendmsg([data], extra)
                answer = self._link.recv(_MOST_BYTES)
            except OSError as error:
                self.wrong = str(error) or "it does not answer"
                raise _Gone(self.wrong) from None
        if not answer:
            self.wrong = "it ended"
            raise _Gone(self.wrong)
        return jsonio.loads(answer)

    def child(
        self, attempt: Attempt, argv: list[str], streams: Streams, pass_fds: Sequence[int]
    ) -> WarmChild | None:
        """Have a child forked that does for *attempt* what *argv* would do; None if it cannot.

        Raises ``OSError`` as if it had been started cold.
        """
        if self.wrong is not None:
            self._warn(attempt, self.wrong)
            return None
        kind = "program" if attempt.function is None else "function"
        if kind == "program" and argv[1] == "-m":
            kind = "module"
        target = argv[2] if kind == "module" else argv[1]
        shown = argv[1:] if kind == "program" else argv[2:]
        request = {
            "kind": kind, "target": target, "argv": shown, "cwd": attempt.cwd or os.getcwd(),
            "env": attempt.env, "pass": list(pass_fds),
        }  # fmt: skip
        begun = monotonic()
        letter = os.memfd_create("orch", os.MFD_CLOEXEC)
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC) if streams[0] is None else -1
        try:
            size = os.write(letter, jsonio.ascii_text(request).encode())
            stdin = null if streams[0] is None else streams[0]
            answer = self._ask({"start": size}, [letter, stdin, *streams[1:], *pass_fds])
        except _Gone as error:
            self._warn(attempt, str(error))
            return None
        finally:
            os.close(letter)
            if null >= 0:
                os.close(null)
        if "pid" not in answer:
            raise OSError(answer.get("errno"), answer.get("error"), answer.get("file"))
        return WarmChild(answer["pid"], self, attempt, begun)

    def has_ended(self, pid: int) -> bool:
        """Tell whether a child has ended; to look below ``/proc`` would take a descriptor."""
        try:
            return bool(self._ask({"look": pid}).get("ended", True))
        except _Gone:
            return procfs.has_ended(pid)

    def reap(self, pid: int) -> Exit:
        """Return how a child that has ended did so, as far as that is not lost."""
        try:
            answer = self._ask({"reap": pid})
        except _Gone:
            return Exit(None, None)
        if "status" not in answer:
            return Exit(None, None)
        return Exit.of(answer["status"], tuple(answer["usage"]))

    def close(self) -> None:
        """End it; its children have ended."""
        procfs.kill(self.pid, signal.SIGKILL)
        self._watcher.forget(self._link.fileno())
        self._link.close()
        try:
            os.waitpid(self.pid, 0)
        except ChildProcessError:
            pass
        if self._process is not None:
            self._process.returncode = 0  # or Popen would wait for it, and warn


class WarmChild(Child):
    """A child process of a server: it is reaped there."""

    __slots__ = ("_server",)
    is_warm = True

    def __init__(self, pid: int, server: Server, attempt: Attempt, begun: float) -> None:
        super().__init__(pid, None, attempt, begun)
        self._server = server

    def has_ended(self) -> bool:
        """Tell whether it has ended; it can still be reaped."""
        return self._server.has_ended(self.pid)

    def wait(self) -> None:
        """Wait for the end, where there is no descriptor that tells of it."""
        while not self.has_ended():
            sleep(LOOK_S)

    def reap(self) -> Exit:
        """See to what it leaves behind, now that it has ended, and have the status collected."""
        self.wall_s = monotonic() - self.begun
        self.left = self._leftovers.settle(self.pid)
        return self._server.reap(self.pid)


class Warm:
    """The servers of a run, each made when it is first wanted, and what waits for them."""

    def __init__(self, plan: Plan, folder: str, watcher: Watcher, post: Post, now: Now) -> None:
        self._plan, self._watcher, self._post, self._now = plan, watcher, post, now
        self._waiting: dict[tuple[str, int], Begin] = {}
        self._lock = threading.Lock()  # an attempt that is about to begin is not stopped meanwhile
        self._warned: set[str] = set()
        self._servers: dict[tuple[str, bool], Server | None] = {}
        env = {**os.environ, "ORCH_RUN_DIR": folder, "ORCH_WARM": _ROOM}
        env.setdefault("PYTHONUNBUFFERED", "1")
        env.setdefault("PYTHONFAULTHANDLER", "1")
        self._env = env

    def begin(self) -> None:
        """Start the servers that are known to be wanted: they import while other work goes on."""
        for task in self._plan.tasks.values():
            if task.skip is None and task.mode == "process":
                self._server(sys.executable, functions=True)
            elif task.skip is None and task.start == "warm":
                python = task.python or sys.executable
                if isinstance(python, str):
                    self._server(python, functions=False)

    def start(self, attempt: Attempt, begin: Begin) -> None:
        """Call *begin* with the server that may fork *attempt*, or None; once that is known.

        What queues join with others does not wait for a server: it starts cold then.
        """
        server = self._server_of(attempt)
        if server is None or server.is_settled:
            begin(attempt, server)
        elif attempt.consume is not None or attempt.publish is not None:
            begin(attempt, None)
        else:
            self._waiting[attempt.task, attempt.number] = begin
            server.when_ready(lambda: self._released(attempt, server))

    def _released(self, attempt: Attempt, server: Server) -> None:
        with self._lock:
            begin = self._waiting.pop((attempt.task, attempt.number), None)
            if begin is not None:  # it was not stopped
                begin(attempt, server)

    def stop(self, task: str, number: int) -> bool:
        """End an attempt that waits for a server; tell whether it did."""
        with self._lock:
            if self._waiting.pop((task, number), None) is None:
                return False
        failure = Failure("Stopped", "it had not been started yet")
        self._post(Ended(task, number, "failed", self._now(), error=failure))
        return True

    def _warn(self, attempt: Attempt, reason: str) -> None:
        """Say once for which attempt a server could not do its work, and why."""
        if reason not in self._warned:
            self._warned.add(reason)
            data = {"level": "warning", "event": "no warm start", "reason": reason}
            self._post(Noted(attempt.task, attempt.number, "log", data, self._now()))

    def _server_of(self, attempt: Attempt) -> Server | None:
        """Return the server that may fork *attempt*; None where it has to start cold."""
        if attempt.start != "warm" or attempt.env is None or not _is_like(self._env, attempt.env):
            return None
        functions = attempt.function is not None
        python = sys.executable if functions else attempt.argv[0]
        return self._server(python, functions=functions)

    def _server(self, python: str, *, functions: bool) -> Server | None:
        key = python, functions
        if key not in self._servers:
            wanted = {
                "modules": list(self._plan.preload),
                "root": self._plan.root,
                "package": _PACKAGE if functions else None,
            }
            try:
                self._servers[key] = Server(python, self._env, wanted, self._watcher, self._warn)
            except OSError:  # no such Python, or no means: a cold start says so
                self._servers[key] = None
        return self._servers[key]

    def close(self) -> None:
        """End all servers."""
        self._waiting.clear()
        for server in self._servers.values():
            if server is not None:
                server.close()


def _is_like(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    """Tell whether a Python that began with the one environment is as one with the other."""
    return _at_start(one) == _at_start(other)


def _at_start(env: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in env.items()
        if (name.startswith(_AT_START) or name in _AT_START_TOO) and name not in _FILLED_IN
    }
