"""Keeper and watchdog: no process outlives its run, however that ends.

``orch run`` forks twice before it does anything else. The process that the user started becomes the
*keeper*: it stays in the caller's process group, is the only one to receive signals, passes each
on once, and ends as orch ended. Its child, in a session of its own, becomes the *watchdog*, and the
child of that is orch::

    keeper ── watchdog ── orch ── tasks

Keeper and watchdog are both child subreapers (``prctl(2)``): whatever orch started, detached or
daemonised, with its environment or without, has become a child of the watchdog once its own parent
is gone, or of the keeper where there is no watchdog any more. So each of the three can be killed,
and those that are left end everything: the watchdog and orch are told by the kernel of their
parent's end (``PR_SET_PDEATHSIG``), the others of their child's. The watchdog bears another name
than orch, so that ``pkill -9 -f orch`` leaves it to do its work.

Where orch is used from Python nothing can stand above it. There a *guard*, a process beside it,
sees a pipe end and kills what carries the run's cookie in its environment.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from orchestrator import descriptors, procfs
from orchestrator.procfs import PATIENCE_S, descendants, kill, kill_carriers

PASSED_ON = (
    signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGTSTP,
    signal.SIGCONT,
)  # fmt: skip
# Who gets it looks whether its parent has gone; without a handler it ends orch, which is right.
PARENT_GONE = signal.SIGUSR2
CRASH = "crash"  # the file in a run's directory that says how orch ended
_CRASHES = (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGILL, signal.SIGFPE)
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NAME, _PR_SET_CHILD_SUBREAPER = 1, 4, 15, 36
_DONE = b"\0done"
_MAX_LETTER = 65536

_started_pid = 0
_letter = -1  # where orch tells keeper and watchdog of its run


def keep() -> None:
    """Become keeper, watchdog and orch; return in orch only.

    Must be called while there is one thread. Does nothing where the system cannot do it.
    """
    global _letter, _started_pid  # noqa: PLW0603 - one process, one keeper
    if sys.platform != "linux":
        return
    _started_pid = os.getpid()
    # ignored at start, it would be so in all that follows, and take every exit status along
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    heard = {n for n in PASSED_ON if signal.getsignal(n) is not signal.SIG_IGN}
    heard |= {signal.SIGCHLD, PARENT_GONE}
    read, write = os.pipe()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, heard)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    if child := os.fork():
        os.close(write)
        _Tender(child, heard, read, parent=0).tend()
    os.setsid()
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)  # not inherited
    _die_with(_started_pid)
    if child := os.fork():
        os.close(write)
        _rename()
        _Tender(child, heard, read, parent=_started_pid).tend()
    os.close(read)
    os.setpgid(0, 0)
    _die_with(os.getppid())
    _letter = write
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def started_pid() -> int:
    """Return the id of the process that the user started: the one to send signals to."""
    return _started_pid or os.getpid()


def is_kept() -> bool:
    """Tell whether a keeper looks after this process."""
    return _letter >= 0


def watchdog() -> int | None:
    """Return the process that the orphans of tasks are handed to."""
    return os.getppid() if is_kept() else None


def begins(folder: Path, following: str) -> None:
    """Tell keeper and watchdog of the run in *folder*; *following* is what to do if orch dies."""
    if _letter >= 0:
        os.write(_letter, f"{folder}\n{following}".encode())


def has_ended() -> None:
    """Tell keeper and watchdog that all that follows is orch's way of leaving."""
    if _letter >= 0:
        os.write(_letter, _DONE)


class _Tender:
    """Waits for a child, passes signals on to it, ends what it leaves, and ends as it ended."""

    def __init__(self, child: int, heard: set[signal.Signals], letter: int, *, parent: int) -> None:
        self._child, self._heard, self._parent = child, heard, parent
        self._letter = letter
        self._status: int | None = None

    def tend(self) -> NoReturn:
        """Never return."""
        try:
            self._wait()
            self._say_how()
            _kill_all(self._reap)
        finally:
            _end_as(self._status)

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
            letter = os.read(self._letter, _MAX_LETTER)
        except BlockingIOError:
            return
        if not letter or letter.endswith(_DONE):
            return
        folder, _, following = letter.decode().partition("\n")
        assert self._status is not None
        how = _in_words(self._status)
        if not os.WIFSIGNALED(self._status) or os.WTERMSIG(self._status) in _CRASHES:
            with suppress(OSError):
                Path(folder, CRASH).write_text(how)
        said = f"orch: ended by {how} in the middle of its run; what it had started is ended too\n"
        with suppress(OSError):
            os.write(2, f"{said}      next: {following}\n".encode())


def _in_words(status: int) -> str:
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        with suppress(ValueError):
            return signal.Signals(number).name
        return f"signal {number}"
    return f"exit status {os.WEXITSTATUS(status)}"


def _kill_all(reap: Callable[[], bool]) -> None:
    """Kill all that descends from this process, to which its orphans come as well."""
    due = time.monotonic() + PATIENCE_S
    while reap() and time.monotonic() < due:
        for pid in descendants(os.getpid()):
            kill(pid, signal.SIGKILL)
        signal.sigtimedwait({signal.SIGCHLD}, 0.05)


def _end_as(status: int | None) -> NoReturn:
    """End as a child did that had *status*, so that who waits for this process sees the same."""
    if status is None:  # a bug
        os._exit(5)
    if not os.WIFSIGNALED(status):
        os._exit(os.WEXITSTATUS(status))
    number = os.WTERMSIG(status)
    _prctl(_PR_SET_DUMPABLE, 0)  # orch has left a core file where that is wanted
    if number != signal.SIGKILL:
        signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
    if os.getpid() != 1:  # there a signal without a handler does nothing
        os.kill(os.getpid(), number)
    os._exit(128 + number)


# What orch does where it is left alone


def end_own(run_id: str) -> None:
    """End this process and what it has started, as far as that can be found: its parent has gone.

    A child does it, and begins with this process, or that would record the ends of the others.
    """
    own = [os.getpid(), *descendants(os.getpid())]
    if os.fork() == 0:
        os.setsid()
        for pid in own:
            kill(pid, signal.SIGKILL)
        kill_carriers(run_id)
        os._exit(0)


# The system


def _prctl(option: int, value: int) -> None:
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(option, ctypes.c_ulong(value), 0, 0, 0)


def _die_with(parent: int) -> None:
    """Get ``PARENT_GONE`` when *parent* ends; end now if it has ended by now."""
    _prctl(_PR_SET_PDEATHSIG, PARENT_GONE)
    if os.getppid() != parent:
        os._exit(128 + signal.SIGKILL)


def _rename() -> None:
    """Call this process ``watchdog``, in what ``ps`` and ``pkill -f`` look at."""
    title = f"watchdog of pid {_started_pid}".encode()
    with suppress(OSError, ValueError, IndexError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_NAME, b"watchdog", 0, 0, 0)
        start, end = map(int, procfs.stat(os.getpid())[45:47])  # the argv of proc(5)
        room = end - start
        if 0 < room < _MAX_LETTER:
            ctypes.memset(start, 0, room)
            ctypes.memmove(start, title[: room - 1], min(len(title), room - 1))


# Without a keeper


class Guard:
    """A process beside this one that ends what tasks have started, should this one be killed."""

    def __init__(self, run_id: str) -> None:
        """Start it. Raises ``OSError``."""
        read, write = os.pipe()
        self._write = descriptors.hold(write)  # or its end is not seen while a forked child lives
        env = {k: v for k, v in os.environ.items() if not k.startswith("ORCH_")}
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", procfs.__file__, str(read), run_id],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                pass_fds=(read,),
                env=env,
                cwd="/",
            )
        except OSError:
            descriptors.close(self._write)
            raise
        finally:
            os.close(read)

    def close(self) -> None:
        """Send it away."""
        with suppress(OSError):
            os.write(self._write, _DONE)
        descriptors.close(self._write)
        self._process.wait()
