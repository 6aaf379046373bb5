"""Child processes: started in a session of their own, watched, ended as a group, reaped.

Programs write straight to their files: no pipe, no pump, so an attempt ends when its process does,
never at end-of-file, and a killed orch loses no line. One thread waits for all of them by pidfd
(without pidfd, one thread each).
"""

import errno
import os
import selectors
import signal
import socket
import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

from orchestrator.events import Attempt, Failure
from orchestrator.spec.words import quote
from orchestrator.streams import open_output

Exited = Callable[["Exit"], None]


class Exit(NamedTuple):
    """How a child ended: *status* or *signal* is None, never both."""

    status: int | None
    signal: int | None


class LaunchError(Exception):
    """A program could not be started; *exit_status* is what a shell would show (126, 127)."""

    def __init__(self, message: str, exit_status: int) -> None:
        super().__init__(message)
        self.exit_status = exit_status

    def failure(self) -> Failure:
        """Return the failure to be recorded."""
        return Failure("LaunchError", str(self))


def launch(attempt: Attempt, argv: list[str], pass_fds: tuple[int, ...] = ()) -> "Child":
    """Start *argv* with the directory, environment and output files of *attempt*.

    Raises ``LaunchError``.
    """
    out = err = -1
    try:
        out = open_output(attempt.stdout)
        err = open_output(attempt.stderr)
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            cwd=attempt.cwd,
            env=attempt.env,
            start_new_session=True,
            pass_fds=pass_fds,
            process_group=None,
        )
    except (OSError, ValueError) as error:
        raise _explained(error, attempt, argv) from None
    finally:
        for descriptor in (out, err):
            if descriptor >= 0:
                os.close(descriptor)
    return Child(process)


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
    """A child process that leads a session and a process group."""

    __slots__ = ("_process", "pid")

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process
        self.pid = process.pid

    def kill(self, *, force: bool) -> None:
        """Send TERM (and CONT, for who is stopped) to the group; with *force* KILL."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL if force else signal.SIGTERM)
            if not force:
                os.killpg(self.pid, signal.SIGCONT)

    def reap(self) -> Exit:
        """Wait for the end, kill what is left of the group, and collect the status."""
        while True:
            try:
                os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
                break
            except InterruptedError:
                continue
            except ChildProcessError:
                return Exit(None, None)
        # killpg before the reap: the zombie pins the group id, so that no other group is hit
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        _, status = os.waitpid(self.pid, 0)
        code = os.waitstatus_to_exitcode(status)
        self._process.returncode = code  # or Popen would wait for it, and warn
        return Exit(None, -code) if code < 0 else Exit(code, None)


class Watcher:
    """The thread that waits for the children of a run, and for what they say.

    *heard* gets each datagram that a program sends to the socket of the run.
    """

    def __init__(self, heard: Callable[[bytes], None]) -> None:
        self._heard = heard
        self._selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._selector.register(self._wake_read, selectors.EVENT_READ, None)
        self._new: list[tuple[Child, Exited]] = []
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._socket: socket.socket | None = None
        self._closing = False

    def listen(self, path: str) -> None:
        """Listen at the socket file *path*. Raises ``OSError``."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        listener.setblocking(False)
        folder = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            # through a descriptor, since the kernel takes 107 bytes of path
            listener.bind(f"/proc/self/fd/{folder}/{os.path.basename(path)}")
            os.chmod(path, 0o600)
        finally:
            os.close(folder)
        self._socket = listener
        self._selector.register(listener, selectors.EVENT_READ, "socket")

    def watch(self, child: Child, exited: Exited) -> None:
        """Call *exited*, on the watching thread, when *child* has ended and is reaped."""
        with self._lock:
            self._new.append((child, exited))
        if self._thread is None:
            self._thread = threading.Thread(target=self._loop, name="orch-children", daemon=True)
            self._thread.start()
        self._wake()

    def close(self) -> None:
        """Stop waiting, once what the children said has been heard."""
        self._closing = True
        if self._thread is not None:
            self._wake()
            self._thread.join(timeout=5.0)
        self._hear()
        if self._socket is not None:
            self._socket.close()
        self._selector.close()
        os.close(self._wake_read)
        os.close(self._wake_write)

    def _wake(self) -> None:
        with suppress(BlockingIOError):
            os.write(self._wake_write, b"x")

    def _loop(self) -> None:
        while not self._closing:
            for key, _ in self._selector.select():
                if key.data is None:
                    self._take_new()
                elif key.data == "socket":
                    self._hear()
                else:
                    self._ended(key)

    def _take_new(self) -> None:
        with suppress(BlockingIOError):
            os.read(self._wake_read, 4096)
        with self._lock:
            new, self._new = self._new, []
        for child, exited in new:
            descriptor = _pidfd(child.pid)
            if descriptor is None:
                threading.Thread(
                    target=lambda c=child, e=exited: e(c.reap()), daemon=True, name="orch-child"
                ).start()
            else:
                self._selector.register(descriptor, selectors.EVENT_READ, (child, exited))

    def _ended(self, key: selectors.SelectorKey) -> None:
        child, exited = key.data
        self._selector.unregister(key.fd)
        os.close(key.fd)
        try:
            status = child.reap()
        except Exception:  # noqa: BLE001 - the thread that waits for all the others goes on
            status = Exit(None, None)
        self._hear()  # what it said comes before its end
        exited(status)

    def _hear(self) -> None:
        while self._socket is not None:
            try:
                data = self._socket.recv(65536)
            except OSError:
                return
            with suppress(Exception):  # whatever a program sends: the thread that waits goes on
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
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
