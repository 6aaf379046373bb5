"""Child processes: started in a session of their own, watched, ended as a group, reaped.

Programs write straight to their files: no pipe, no pump, so an attempt ends when its process does,
never at end-of-file, and a killed orch loses no line. Only what a program publishes to a queue goes
through a pipe. One thread waits for all of them by pidfd (without pidfd, one thread each).
"""

from __future__ import annotations

import errno
import os
import threading
from contextlib import suppress
from time import monotonic

from orchestrator.events import Failure
from orchestrator.lean import signal, socket
from orchestrator.places import open_output
from orchestrator.poller import READ
from orchestrator.records import NamedTuple
from orchestrator.runners.leftovers import Leftovers
from orchestrator.runners.shortage import shortage
from orchestrator.runners.spawn import spawn
from orchestrator.spec.words import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from subprocess import Popen
    from typing import Any

    from orchestrator.events import Attempt
    from orchestrator.poller import Poller
    from orchestrator.warm.client import Server

    Exited = Callable[["Exit"], None]
    Usage = tuple[float, int, int, int]

# Without a pidfd and without a thread a child is looked at so often.
LOOK_S = 0.05


class Exit(NamedTuple):
    """How a child ended: *status* or *signal* is None, never both.

    *usage* is what it took: CPU seconds, KiB at its peak, how often it waited, and how often it had
    to let another have the processor; None where that is lost.
    """

    status: int | None
    signal: int | None
    usage: Usage | None = None

    @classmethod
    def of(cls, status: int, usage: Usage | None) -> Exit:
        """Return what *status*, as ``waitpid`` tells it, says."""
        code = os.waitstatus_to_exitcode(status)
        return cls(None, -code, usage) if code < 0 else cls(code, None, usage)


class LaunchError(Exception):
    """A program could not be started; *exit_status* is what a shell would show (126, 127)."""

    def __init__(self, message: str, exit_status: int) -> None:
        super().__init__(message)
        self.exit_status = exit_status

    def failure(self) -> Failure:
        """Return the failure to be recorded."""
        return Failure("LaunchError", str(self))


def launch(
    attempt: Attempt,
    argv: list[str],
    pass_fds: tuple[int, ...] = (),
    *,
    stdin: int | None = None,
    stdout: int | None = None,
    server: Server | None = None,
) -> Child:
    """Start *argv* with the directory, environment and output files of *attempt*.

    *stdin* and *stdout* are descriptors of pipes, where it has some; with *server* that forks it,
    if it can. Raises ``LaunchError``, and what ``shortage`` knows where the system has no means;
    the files are gone then.
    """
    out = err = -1
    begun = monotonic()
    try:
        if stdout is None:
            out = open_output(attempt.stdout)
        err = open_output(attempt.stderr)
        streams = (stdin, out if stdout is None else stdout, err)
        if server is not None:
            warm = server.child(attempt, argv, streams, pass_fds)
            if warm is not None:
                return warm
        pid, process = spawn(argv, attempt.cwd, attempt.env, streams, pass_fds)
    except (OSError, ValueError, MemoryError) as error:
        if shortage(error) is None:
            raise _explained(error, attempt, argv) from None
        _remove(attempt, out, err)
        raise
    finally:
        for descriptor in (out, err):
            if descriptor >= 0:
                os.close(descriptor)
    return Child(pid, process, attempt, begun)


def _remove(attempt: Attempt, out: int, err: int) -> None:
    """Remove the output files that were made, so that the next start can make them."""
    for descriptor, path in ((out, attempt.stdout), (err, attempt.stderr)):
        if descriptor >= 0:
            with suppress(OSError):
                os.unlink(path)


def _explained(error: Exception, attempt: Attempt, argv: list[str]) -> LaunchError:
    if not isinstance(error, OSError):
        holds = [part for part in argv if "\0" in part]
        said = f"the argument {quote(holds[0])} holds a NUL character" if holds else str(error)
        return LaunchError(f"{argv[0]}: {said}", 126)
    reason = (error.strerror or str(error)).lower()
    if error.filename in (attempt.stdout, attempt.stderr):
        return LaunchError(f"cannot write its output {error.filename}: {reason}", 126)
    if error.filename == attempt.cwd and error.filename != argv[0]:
        return LaunchError(f"the working directory {attempt.cwd}: {reason}", 126)
    status = 127 if error.errno == errno.ENOENT else 126
    if error.errno == errno.ENOENT and os.path.exists(argv[0]):
        reason = "its interpreter (the first line) does not exist"
    return LaunchError(f"{argv[0]}: {reason}", status)


class Child:
    """A child process that leads a session and a process group.

    *left* are the names of processes that it left behind, if that is to be told. *begun* is when it
    was, by ``time.monotonic``, *wall_s* how long it lived, once it is reaped. *is_warm*: it was
    forked by a server.
    """

    __slots__ = ("_leftovers", "_process", "begun", "key", "left", "pid", "wall_s")
    is_warm = False

    def __init__(
        self, pid: int, process: Popen[bytes] | None, attempt: Attempt, begun: float
    ) -> None:
        """Take charge of a process that was *begun* then."""
        self.pid, self._process = pid, process
        self.begun, self.wall_s = begun, 0.0
        self._leftovers = Leftovers(attempt)
        self.key = attempt.task, attempt.number
        self.left: list[str] = []

    def kill(self, *, force: bool) -> None:
        """Send TERM (and CONT, for who is stopped) to the group; with *force* KILL."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL if force else signal.SIGTERM)
            if not force:
                os.killpg(self.pid, signal.SIGCONT)

    def has_ended(self) -> bool:
        """Tell whether it has ended; it can still be reaped."""
        try:
            return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None
        except ChildProcessError:
            return True

    def wait(self) -> None:
        """Wait for the end; it can still be reaped."""
        with suppress(ChildProcessError):
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)

    def reap(self) -> Exit:
        """See to what it leaves behind, now that it has ended, and collect the status."""
        try:
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        except ChildProcessError:
            self.wall_s = monotonic() - self.begun
            return Exit(None, None)
        # before the reap: the zombie pins the group id, so that no other group is hit
        self.wall_s = monotonic() - self.begun
        self.left = self._leftovers.settle(self.pid)
        _, status, used = os.wait4(self.pid, 0)
        if self._process is not None:  # or Popen would wait for it, and warn
            self._process.returncode = os.waitstatus_to_exitcode(status)
        cpu_s = used.ru_utime + used.ru_stime
        return Exit.of(status, (cpu_s, used.ru_maxrss, used.ru_nvcsw, used.ru_nivcsw))


class Watcher:
    """Waits for the children of a run, and for what they say, on the thread of *poller*.

    *heard* gets each datagram that a program sends to the socket of the run, *left* the task, the
    attempt and the names of processes that were left behind and are to be told of.
    """

    def __init__(
        self,
        poller: Poller,
        heard: Callable[[bytes], None],
        left: Callable[[str, int, list[str]], None],
    ) -> None:
        self._poller, self._heard, self._left = poller, heard, left
        self._socket: socket.socket | None = None

    def listen(self, path: str) -> None:
        """Listen at the socket file *path*. Raises ``OSError``."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        listener.setblocking(False)
        folder = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with suppress(FileNotFoundError):
                os.unlink(path)  # that of an earlier session of the run
            # through a descriptor, since the kernel takes 107 bytes of path
            listener.bind(f"/proc/self/fd/{folder}/{os.path.basename(path)}")
            os.chmod(path, 0o600)
        finally:
            os.close(folder)
        self._socket = listener
        self._poller.add(listener.fileno(), READ, self._hear)

    def begin(self) -> None:
        """Make sure that children can be watched. Raises ``RuntimeError`` without a thread."""
        self._poller.begin()

    def when_readable(self, descriptor: int, ready: Callable[[], None]) -> None:
        """Call *ready*, on the poller's thread, whenever *descriptor* can be read from."""
        self._poller.call(lambda: self._poller.add(descriptor, READ, ready))

    def forget(self, descriptor: int) -> None:
        """Wait for *descriptor* no longer."""
        self._poller.remove(descriptor)

    def later(self, delay_s: float, call: Callable[[], None]) -> None:
        """Do *call* after *delay_s*. On the poller's thread only."""
        self._poller.call_later(delay_s, call)

    def after_heard(self, call: Callable[[], None]) -> None:
        """Do *call*, on the poller's thread, when what was said until now has been heard."""

        def hear_first() -> None:
            self._hear()
            call()

        self._poller.call(hear_first)

    def watch(self, child: Child, exited: Exited) -> None:
        """Call *exited*, on the poller's thread, when *child* has ended and is reaped."""
        self._poller.call(lambda: self._watch(child, exited))

    def close(self) -> None:
        """Hear what the children said last. The poller has been closed by now."""
        self._hear()
        if self._socket is not None:
            self._socket.close()

    def _watch(self, child: Child, exited: Exited) -> None:
        descriptor = _pidfd(child.pid)
        if descriptor is not None:
            self._poller.add(descriptor, READ, lambda: self._ended(descriptor, child, exited))
            return

        def wait() -> None:
            child.wait()
            status = child.reap()
            self._poller.call(lambda: self._tell(child, status, exited))

        try:
            threading.Thread(target=wait, daemon=True, name="orch-child").start()
        except RuntimeError:  # neither a descriptor nor a thread to be had
            self._look_at(child, exited)

    def _look_at(self, child: Child, exited: Exited) -> None:
        """Look whether *child* has ended, now and from time to time."""
        if not child.has_ended():
            self._poller.call_later(LOOK_S, lambda: self._look_at(child, exited))
            return
        self._tell(child, child.reap(), exited)

    def _ended(self, descriptor: int, child: Child, exited: Exited) -> None:
        self._poller.remove(descriptor)
        os.close(descriptor)
        try:
            status = child.reap()
        except Exception:  # noqa: BLE001 - its end has to be told, whatever it was
            status = Exit(None, None)
        self._tell(child, status, exited)

    def _tell(self, child: Child, status: Exit, exited: Exited) -> None:
        self._hear()  # what it said comes before its end
        if child.left:
            self._left(*child.key, child.left)
        exited(status)

    def _hear(self) -> None:
        while self._socket is not None:
            try:
                data = self._socket.recv(65536)
            except OSError:
                return
            with suppress(Exception):  # whatever a program sends
                self._heard(data)


def _pidfd(pid: int) -> int | None:
    opener: Any = getattr(os, "pidfd_open", None)
    if opener is None:
        return None
    try:
        descriptor: int = opener(pid)
    except OSError:
        return None
    return descriptor


def signal_name(number: int) -> str:
    """Return ``SIGKILL`` for 9."""
    try:
        import signal  # noqa: PLC0415 - with its enumerations

        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
