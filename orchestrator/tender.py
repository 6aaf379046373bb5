"""What keeper and watchdog do: wait for a child, end what it leaves, and end as it ended."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager, suppress

from orchestrator import procfs
from orchestrator.lean import signal
from orchestrator.procfs import PATIENCE_S, descendants, kill

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import NoReturn

# Who gets it looks whether its parent has gone.
PARENT_GONE = signal.SIGUSR2
CRASH = "crash"  # the file in a run's directory that says how orch ended
DONE = b"\0done"
_CRASHES = (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGILL, signal.SIGFPE)
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NAME, _PR_SET_CHILD_SUBREAPER = 1, 4, 15, 36
MAX_LETTER = 65536


class Tender:
    """Waits for a child, passes signals on to it, ends what it leaves, and ends as it ended."""

    def __init__(self, child: int, heard: set[signal.Signals], letter: int, *, parent: int) -> None:
        self._child, self._heard, self._parent = child, heard, parent
        self._letter = letter
        self._status: int | None = None
        self._is_cut_off = False

    def tend(self) -> NoReturn:
        """Never return."""
        try:
            if self._parent and os.getppid() != self._parent:
                self._status = signal.SIGKILL  # it was killed before it could be noticed
            else:
                self._wait()
            self._say_how()
            _kill_all(self._reap, _kill_aside() if self._status == signal.SIGKILL else 0)
        finally:
            _end_as(self._status, is_cut_off=self._is_cut_off)

    def _wait(self) -> None:
        while True:
            number = signal.sigwait(self._heard)
            if number == signal.SIGCHLD:
                self._reap()
                if self._status is not None:
                    return
            elif number == PARENT_GONE:
                if self._parent and os.getppid() != self._parent:
                    self._status = signal.SIGKILL
                    return
            elif number == signal.SIGTSTP:
                self._suspend()
            else:
                self._pass_on(number)

    def _reap(self) -> bool:
        """Take note of children that have ended; tell whether there are others."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == self._child:
                self._status = status
            elif pid == 0:
                return True

    def _pass_on(self, number: int) -> None:
        if number == signal.SIGCONT and self._parent:
            for pid in descendants(os.getpid()):
                kill(pid, signal.SIGCONT)
        kill(self._child, number)  # not reaped, so it is nobody else

    def _suspend(self) -> None:
        """Stop all of the run, and then, in the foreground, as the shell expects it."""
        if self._parent:
            for pid in descendants(os.getpid()):  # orch first: it starts nothing more
                kill(pid, signal.SIGSTOP)
            return
        kill(self._child, signal.SIGTSTP)
        os.kill(os.getpid(), signal.SIGSTOP)

    def _say_how(self) -> None:
        """Say how orch ended in the middle of its run; leave word where it crashed."""
        os.set_blocking(self._letter, False)
        try:
            letter = os.read(self._letter, MAX_LETTER)
        except BlockingIOError:
            return
        if not letter or letter.endswith(DONE):
            return
        self._is_cut_off = True
        folder, _, following = letter.decode().partition("\n")
        assert self._status is not None
        how = _in_words(self._status)
        if not os.WIFSIGNALED(self._status) or os.WTERMSIG(self._status) in _CRASHES:
            with suppress(OSError), open(f"{folder}/{CRASH}", "w", encoding="ascii") as file:
                file.write(how)
        said = f"orch: ended by {how} in the middle of its run; what it had started is ended too\n"
        with suppress(OSError):
            os.write(2, f"{said}      next: {following}\n".encode())


def _in_words(status: int) -> str:
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        with suppress(ValueError):
            from signal import Signals  # noqa: PLC0415 - with its enumerations

            return Signals(number).name
        return f"signal {number}"
    return f"exit status {os.WEXITSTATUS(status)}"


def _kill_aside() -> int:
    """Kill all that descends from this process in a child of its own, and return its id.

    Whoever kills one of the three may be about to kill the next: what was begun is completed then.
    """
    found = list(descendants(os.getpid()))
    child = os.fork()
    if child == 0:
        os.setsid()
        for pid in found:
            kill(pid, signal.SIGKILL)
        os._exit(0)
    return child


def _kill_all(reap: Callable[[], bool], spared: int) -> None:
    """Kill all that descends from this process, to which its orphans come as well."""
    due = time.monotonic() + PATIENCE_S
    while reap() and time.monotonic() < due:
        for pid in list(descendants(os.getpid())):
            if pid != spared:
                kill(pid, signal.SIGKILL)
        signal.sigtimedwait({signal.SIGCHLD}, 0.05)


def _end_as(status: int | None, *, is_cut_off: bool) -> NoReturn:
    """End as a child did that had *status*, so that who waits for this process sees the same.

    But a run that *is_cut_off* has not succeeded, whatever a task has said to ``os._exit``.
    """
    if status is None:  # a bug
        os._exit(5)
    if not os.WIFSIGNALED(status):
        os._exit(os.WEXITSTATUS(status) or is_cut_off)
    number = os.WTERMSIG(status)
    _prctl(_PR_SET_DUMPABLE, 0)  # orch has left a core file where that is wanted
    if number != signal.SIGKILL:
        signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
    if os.getpid() != 1:  # there a signal without a handler does nothing
        os.kill(os.getpid(), number)
    os._exit(128 + number)


@contextmanager
def leaving_nobody(child: int) -> Iterator[None]:
    """End *child* too, where this process cannot even begin to look after it; says why."""
    try:
        yield
    except BaseException as error:  # noqa: BLE001 - no descriptor, no memory
        kill(child, signal.SIGKILL)
        with suppress(OSError):
            os.write(2, f"orch: error: cannot start: {error}\n".encode())
        os._exit(4)


def adopt_orphans(said: int) -> None:
    """Have whatever loses its parent below this process handed to it, and say so."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)  # not inherited
    os.write(said, b"x")
    os.close(said)


def _prctl(option: int, value: int) -> None:
    import ctypes  # noqa: PLC0415 - imported by now, before the fork

    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(option, ctypes.c_ulong(value), 0, 0, 0)


def rename(started_pid: int) -> None:
    """Call this process ``watchdog``, in what ``ps`` and ``pkill -f`` look at."""
    title = f"watchdog of pid {started_pid}".encode()
    import ctypes  # noqa: PLC0415 - imported by now, before the fork

    with suppress(OSError, ValueError, IndexError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_NAME, b"watchdog", 0, 0, 0)
        start, end = map(int, procfs.stat(os.getpid())[45:47])  # the argv of proc(5)
        room = end - start
        if 0 < room < MAX_LETTER:
            ctypes.memset(start, 0, room)
            ctypes.memmove(start, title[: room - 1], min(len(title), room - 1))


def die_with_parent() -> None:
    """Get ``PARENT_GONE`` when the parent ends."""
    _prctl(_PR_SET_PDEATHSIG, PARENT_GONE)
