"""Signals: the first INT, TERM or HUP asks the run to end, the second ends it, the third leaves.

A signal that was ignored when orch started (``nohup``, ``&``) stays ignored. USR1 asks what is
running. Under a keeper signals come from there, each once.
"""

from __future__ import annotations

import os
import select
import threading
from contextlib import contextmanager

from orchestrator import keeper
from orchestrator.events import Asked, StopAsked
from orchestrator.lean import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from orchestrator.inbox import Inbox

_LOOK_MS = 500  # where the end of the watchdog is not told
_END = b"\0"  # no signal has this number
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Ladder:
    """Counts the signals that ask for an end; *last* is the newest of them.

    *run_id* is the run's that has to be ended should the watchdog be killed.
    """

    def __init__(self, run_id: str, inbox: Inbox, now: Callable[[], float]) -> None:
        self.last: int | None = None
        self._run_id, self._inbox, self._now = run_id, inbox, now
        self._watchdog = keeper.watchdog()
        self._count = 0

    def took(self, number: int) -> None:
        """Take note of a signal; the third that asks for an end leaves at once."""
        if number == signal.SIGUSR1:
            self._inbox.put(Asked(self._now()))
        elif number in STOPPING:
            self.last = number
            self._count += 1
            if self._count > 2:  # noqa: PLR2004
                end_by(number)
            self._inbox.put(StopAsked("signal", self._count > 1, self._now(), number))

    def is_alone(self) -> bool:
        """Tell whether the watchdog has ended; this process does so too then, with all it has."""
        if self._watchdog is None or os.getppid() == self._watchdog:
            return False
        keeper.end_own(self._run_id)
        return True


_in_force = False


def _leave_to_parent() -> None:
    """Let a child that a task forks deal with signals as if it were not orch.

    With the inherited pipe a TERM to it (``multiprocessing`` sends one) would stop the run.
    """
    if _in_force:
        signal.set_wakeup_fd(-1)
        for number in (*STOPPING, signal.SIGUSR1):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, signal.SIG_DFL)


os.register_at_fork(after_in_child=_leave_to_parent)


@contextmanager
def handled(ladder: Ladder) -> Iterator[None]:
    """Route signals to *ladder*; put back what was there. Only the main thread can.

    The kernel may give a signal to any thread, and Python runs its handler in the main one, which
    sleeps until something is in the inbox. So the C handler writes the number into a pipe, and a
    thread of its own reads that; the Python handler has nothing to do.
    """
    global _in_force  # noqa: PLW0603 - signals are the whole process's
    read, write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    os.set_blocking(read, True)
    _in_force = True
    reader = threading.Thread(target=_read, args=(read, ladder), name="orch-signals", daemon=True)
    before: dict[int, Any] = {}
    woken = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    reader.start()
    asked: tuple[int, ...] = (*STOPPING, signal.SIGUSR1)
    for number in asked:
        if signal.getsignal(number) is not signal.SIG_IGN or number == signal.SIGUSR1:
            before[number] = signal.signal(number, lambda *_: None)
    try:
        yield
    finally:
        _in_force = False
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(woken)
        os.write(write, _END)  # closing is not enough: a forked child may hold the pipe
        reader.join()
        os.close(write)
        os.close(read)


def _read(descriptor: int, ladder: Ladder) -> None:
    watched = select.poll()
    watched.register(descriptor, select.POLLIN)
    parent = keeper.parent_descriptor()
    if parent is not None:
        watched.register(parent, select.POLLIN)
    try:
        while not ladder.is_alone():
            ready = watched.poll(None if parent is not None else _LOOK_MS)
            if descriptor not in [number for number, _ in ready]:
                continue
            for number in os.read(descriptor, 64):
                if number == _END[0]:
                    return
                ladder.took(number)
    finally:
        if parent is not None:
            os.close(parent)


def end_by(number: int) -> None:
    """End this process by signal *number*, so that who started it sees that.

    After a plain exit status a shell's loop goes on to its next turn. As PID 1 of a container
    a signal without a handler does nothing: there, leave with 128 + n.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(number, signal.SIG_DFL)
    else:
        _default_action(number)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])
    if os.getpid() != 1:
        os.kill(os.getpid(), number)
    os._exit(128 + number)


def _default_action(number: int) -> None:
    """Do what ``signal.signal(number, SIG_DFL)`` does, from a thread: Python allows it to none."""
    import ctypes  # noqa: PLC0415 - for the third signal only

    ctypes.CDLL(None).signal(number, 0)
