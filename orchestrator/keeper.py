"""Keeper and watchdog: no process outlives its run, however that ends.

``orch run`` forks twice before it does anything else. The process that the user started becomes the
*keeper*: it stays in the caller's process group, is the only one to receive signals, passes each
on once, and ends as orch ended. Its child, in a session of its own, becomes the *watchdog*, and the
child of that is orch::

    keeper ── watchdog ── orch ── tasks

Keeper and watchdog are both child subreapers (``prctl(2)``): whatever orch started, detached or
daemonised, with its environment or without, has become a child of the watchdog once its own parent
is gone, or of the keeper where there is no watchdog any more. So each of the three can be killed,
and those that are left end everything: the watchdog is told by the kernel of its parent's end
(``PR_SET_PDEATHSIG``), orch by a pidfd, the others of their child's. The watchdog bears another
name than orch, so that ``pkill -9 -f orch`` leaves it to do its work.

Where orch is used from Python nothing can stand above it. There a *guard*, a process beside it,
sees a pipe end and kills what carries the run's cookie in its environment.
"""

from __future__ import annotations

import os
import sys

from orchestrator import tender
from orchestrator.lean import signal
from orchestrator.tender import DONE, MAX_LETTER, PARENT_GONE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PASSED_ON = (
    signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGTSTP,
    signal.SIGCONT,
)  # fmt: skip

_started_pid = 0
_watchdog_pid = 0
_letter = -1  # where orch tells keeper and watchdog of its run
_told = -1  # and what it has told, which it takes back before it tells of another one
_ready = -1  # where they tell that what loses its parent comes to them


def keep() -> None:
    """Become keeper, watchdog and orch; return in orch only.

    Must be called while there is one thread. Does nothing where the system cannot do it.
    """
    global _letter, _told, _ready, _started_pid, _watchdog_pid  # noqa: PLW0603 - one keeper
    if sys.platform != "linux":
        return
    import ctypes  # noqa: F401, PLC0415 - once for keeper and watchdog, so before they part

    _started_pid = os.getpid()
    # ignored at start, it would be so in all that follows, and take every exit status along
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    heard = {n for n in PASSED_ON if signal.getsignal(n) is not signal.SIG_IGN}
    heard |= {signal.SIGCHLD, PARENT_GONE}
    read, write = os.pipe()
    ready, said = os.pipe()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, heard)
    if child := os.fork():
        os.close(write)
        os.close(ready)
        with tender.leaving_nobody(child):
            tender.adopt_orphans(said)
        tender.Tender(child, heard, read, parent=0).tend()
    os.setsid()
    _watchdog_pid = os.getpid()
    if child := os.fork():
        os.close(write)
        os.close(ready)
        with tender.leaving_nobody(child):
            tender.die_with_parent()
            tender.adopt_orphans(said)
            tender.rename(_started_pid)
        tender.Tender(child, heard, read, parent=_started_pid).tend()
    os.close(said)
    os.setpgid(0, 0)
    os.set_blocking(read, False)
    _letter, _told, _ready = write, read, ready
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def started_pid() -> int:
    """Return the id of the process that the user started: the one to send signals to."""
    return _started_pid or os.getpid()


def is_kept() -> bool:
    """Tell whether a keeper looks after this process."""
    return _letter >= 0


def watchdog() -> int | None:
    """Return the process that the orphans of tasks are handed to."""
    return _watchdog_pid if is_kept() else None


def parent_descriptor() -> int | None:
    """Return a descriptor that is readable once the watchdog has ended; None without one."""
    opener: Any = getattr(os, "pidfd_open", None)
    if opener is None or not is_kept():
        return None
    try:
        descriptor: int = opener(_watchdog_pid)
    except OSError:
        return None
    return descriptor


def begins(folder: str, following: str) -> None:
    """Tell keeper and watchdog of the run in *folder*; *following* is what to do if orch dies.

    Returns when both are ready: they became so while orch began.
    """
    global _ready  # noqa: PLW0603 - one process, one keeper
    if _letter < 0:
        return
    _tell(f"{folder}\n{following}".encode())
    if _ready < 0:
        return  # a run within a run
    for _ in range(2):
        if not os.read(_ready, 1):  # one of them was killed
            os._exit(128 + signal.SIGKILL)
    os.close(_ready)
    _ready = -1


def has_ended() -> None:
    """Tell keeper and watchdog that all that follows is orch's way of leaving."""
    if _letter >= 0:
        _tell(DONE)


def _tell(text: bytes) -> None:
    """Leave *text* instead of what was left before: one process may have many runs."""
    try:
        os.read(_told, MAX_LETTER)
    except BlockingIOError:
        pass
    os.write(_letter, text)


# What orch does where it is left alone


def end_own(run_id: str) -> None:
    """End this process and what it has started, as far as that can be found: its parent has gone.

    A child does it, and begins with this process, or that would record the ends of the others.
    """
    from orchestrator.procfs import descendants, kill, kill_carriers  # noqa: PLC0415 - seldom needed

    own = [os.getpid(), *descendants(os.getpid())]
    if os.fork() == 0:
        os.setsid()
        for pid in own:
            kill(pid, signal.SIGKILL)
        kill_carriers(run_id)
        os._exit(0)
