"""The inbox: where every thread leaves what has happened, and the loop waits for it."""

from __future__ import annotations

from collections import deque

from orchestrator.lean import queue

TYPE_CHECKING = False
if TYPE_CHECKING:
    from orchestrator.events import Event


class Inbox:
    """What has happened and was not looked at yet; any thread may put something in."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque()
        self._calls = queue.SimpleQueue[None]()
        self.leave = self._events.append
        """Put an event in, for whoever takes the next turn: who leaves one sees to that."""

    def put(self, event: Event) -> None:
        """Put *event* in and have the loop look at it."""
        self._events.append(event)
        self.call()

    def call(self) -> None:
        """Wake the loop."""
        if self._calls.empty():
            self._calls.put(None)

    def wait(self, timeout_s: float | None) -> bool:
        """Wait until the loop is called; tell whether it was."""
        try:
            self._calls.get(timeout=timeout_s)
        except queue.Empty:
            return False
        return True

    def take(self) -> list[Event]:
        """Return all that is in it, in order, and leave nothing."""
        events = []
        try:
            while True:
                events.append(self._events.popleft())
        except IndexError:
            return events

    def __bool__(self) -> bool:
        return bool(self._events)
