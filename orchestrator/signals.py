"""Signals: the first INT, TERM or HUP asks the run to end, the second ends it, the third leaves.

Handlers only put into the inbox, which is re-entrant. A signal that was ignored when orch started
(``nohup``, ``&``) stays ignored. USR1 asks what is running.
"""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from orchestrator.engine import Inbox
from orchestrator.events import Asked, StopAsked

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Ladder:
    """Counts the signals that ask for an end; *last* is the newest of them."""

    def __init__(self, inbox: Inbox, now: Callable[[], float]) -> None:
        self.last: int | None = None
        self._inbox, self._now = inbox, now
        self._count = 0

    def climb(self, number: int, _frame: Any) -> None:
        """Handle one signal that asks for an end."""
        self.last = number
        self._count += 1
        if self._count > 2:  # noqa: PLR2004 - the third one leaves at once
            end_by(number)
        self._inbox.put(StopAsked("signal", self._count > 1, self._now(), number))

    def ask(self, _number: int, _frame: Any) -> None:
        """Handle USR1."""
        self._inbox.put(Asked(self._now()))


@contextmanager
def handled(ladder: Ladder) -> Iterator[None]:
    """Route signals to *ladder*; put back what was there. Only the main thread can."""
    before: dict[signal.Signals, Any] = {}
    for number in STOPPING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            before[number] = signal.signal(number, ladder.climb)
    before[signal.SIGUSR1] = signal.signal(signal.SIGUSR1, ladder.ask)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def end_by(number: int) -> None:
    """End this process by signal *number*, so that who started it sees that.

    After a plain exit status a shell's loop goes on to its next turn. As PID 1 of a container
    a signal without a handler does nothing: there, leave with 128 + n.
    """
    signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])
    if os.getpid() != 1:
        os.kill(os.getpid(), number)
    os._exit(128 + number)
