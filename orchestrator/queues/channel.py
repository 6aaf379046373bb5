"""A bounded queue of lines between threads of orch.

Those who have to wait are *waiters*: threads of functions, and the ends of pipes, which are told to
come back. The lock is held for a few lines at a time, never while anyone waits.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from itertools import islice

from orchestrator.events import Measured
from orchestrator.functions import Closed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Protocol

    from orchestrator.plan.model import PlanQueue
    from orchestrator.queues.spool import ItemRecord

    Now = Callable[[], float]

    class Waiter(Protocol):
        """Who waits for room or for items."""

        def wake(self) -> None:
            """Come back and look again. Called with the lock held: must neither block nor call."""

    class Window(Protocol):
        """Items that were lent to another process, which does not say when it takes one."""

        def taken(self) -> int:
            """Return how many items the other side has taken since the last time this was asked."""

        def left(self) -> int:
            """Return how many are left of those that were lent."""


# Who waits for room is let in when half of the queue is free, since a switch to it costs as much as
# many items; and at the first free place once it has waited so long.
PATIENCE_S = 0.002


class Meter:
    """Adds up how long how many waited."""

    __slots__ = ("any_s", "count", "since", "sum_s")

    def __init__(self) -> None:
        self.count = 0
        self.since = self.sum_s = self.any_s = 0.0

    def change(self, now: float, by: int) -> None:
        """Count *by* more from *now* on."""
        if self.count:
            passed_s = now - self.since
            self.sum_s += passed_s * self.count
            self.any_s += passed_s
        self.since = now
        self.count += by


class Channel:
    """The lines of one queue, and who waits for it.

    A line counts against ``maxsize`` from when it is accepted until the consumer's iterator hands
    it out, or until it is written to the program's pipe. Lines that are delivered again do not
    count: they were in already. A line longer than ``max_bytes`` is accepted when it is alone.
    """

    def __init__(self, spec: PlanQueue, now: Now, record: ItemRecord | None = None) -> None:
        self.spec, self._now, self.record = spec, now, record
        self.again = spec.delivery == "at_least_once"
        self._lock = threading.Lock()
        self._lines: deque[bytes] = deque()
        self._returned: deque[Iterator[tuple[bytes, int]]] = deque()
        self._size = 0  # of the lines, in bytes
        self._lent = 0  # lines in windows
        self._windows: list[Window] = []
        self._putters: deque[Waiter] = deque()
        self._getters: deque[Waiter] = deque()
        self._sources = 0  # pipes whose writer has ended, but not what it wrote
        self._low = spec.maxsize // 2
        self._hurried = False  # whether someone has waited for room long enough
        self.ended = self.closed = self.draining = False
        self._in = self._out = self._depth_max = 0
        self._dead = 0
        self._blocked, self._starved = Meter(), Meter()
        self._open_since: float | None = None
        self._is_measured = False

    # Publishing

    def put(self, line: bytes, writer: Waiter) -> bool:
        """Accept *line*; False: there is no room, and *writer* is woken when there is.

        Raises ``Closed``.
        """
        with self._lock:
            if self.closed:
                raise Closed
            if self.draining:
                self._in += 1
                return True
            lines = self._lines
            depth = len(lines) + self._lent
            if depth >= self.spec.maxsize or self._size + len(line) > self.spec.max_bytes:
                if not self._has_room(len(line)):
                    self._wait(self._putters, self._blocked, writer)
                    return False
                depth = len(lines) + self._lent
            if self.record is not None:
                self.record.published((line,))
            lines.append(line)
            self._size += len(line)
            self._in += 1
            if depth >= self._depth_max:
                self._depth_max = depth + 1
            if self._getters:
                self._wake(self._getters, self._starved)
            return True

    def offer(self, lines: deque[bytes], writer: Waiter) -> bool:
        """Accept as many of *lines* as there is room for; False: some are left, as with ``put``.

        Raises ``Closed``.
        """
        with self._lock:
            if self.closed:
                raise Closed
            if self.draining:
                self._in += len(lines)
                lines.clear()
                return True
            while lines:
                fitting = self._fitting(lines)
                if not fitting:
                    self._wait(self._putters, self._blocked, writer)
                    return False
                self._lines.extend(fitting)
                self._in += len(fitting)
                self._depth_max = max(self._depth_max, len(self._lines) + self._lent)
                for _ in range(min(len(fitting), len(self._getters))):
                    self._wake(self._getters, self._starved)
            return True

    def _fitting(self, lines: deque[bytes]) -> list[bytes]:
        """Take from *lines* those that there is room for."""
        if not self._has_room(len(lines[0])):
            return []
        room = self.spec.maxsize - len(self._lines) - self._lent
        found = list(islice(lines, room))
        size = sum(map(len, found))
        while len(found) > 1 and self._size + size > self.spec.max_bytes:
            size -= len(found.pop())
        self._size += size
        if len(found) == len(lines):
            lines.clear()
        else:
            for _ in found:
                lines.popleft()
        return found

    def _has_room(self, size: int) -> bool:
        if self._lent:
            self._look_into_windows()
        depth = len(self._lines) + self._lent
        if depth >= self.spec.maxsize:
            return False
        return self._size + size <= self.spec.max_bytes or depth == 0

    def _look_into_windows(self) -> None:
        for window in self._windows:
            self._lent -= window.taken()

    # Consuming

    def get(self, reader: Waiter) -> tuple[bytes, int] | None:
        """Return a line and how often it has failed; None: there is none yet, as with ``put``.

        Raises ``EOFError`` at the end of the queue.
        """
        with self._lock:
            if self._returned and (found := self._next_returned()) is not None:
                self._out += 1
                if self.ended:
                    self._see_to_end()
                return found
            lines = self._lines
            if lines:
                line = lines.popleft()
                self._size -= len(line)
                self._out += 1
                if self.ended:  # the others need not wait any longer, if this was the last
                    self._see_to_end()
                if self._putters and (self._hurried or len(lines) + self._lent <= self._low):
                    self._let_in()
                return line, 0
            if self._is_over():
                raise EOFError
            if self._putters:
                self._let_in()
            self._wait(self._getters, self._starved, reader)
            return None

    def take(self, most: int, size: int, reader: Waiter, *, lend: bool) -> list[tuple[bytes, int]]:
        """Return up to *most* lines of up to *size* bytes in all, at least one; none: as ``get``.

        With *lend* they count against ``maxsize`` until a window says otherwise.
        Raises ``EOFError`` at the end of the queue.
        """
        found: list[tuple[bytes, int]] = []
        with self._lock:
            if lend:
                # what was handed out of it is not told: there must be room for more beside it, or
                # nobody could bring what the window would be looked at for
                most = min(most, max(1, self._low // max(1, len(self._windows))))
            while self._returned and len(found) < most and size > 0:
                again = self._next_returned()
                if again is not None:
                    found.append(again)
                    size -= len(again[0]) + 1
            count, before = 0, size
            for line in islice(self._lines, most - len(found)):
                if size <= 0:
                    break
                size -= len(line) + 1
                count += 1
            self._size -= before - size - count
            pop = self._lines.popleft
            found += [(pop(), 0) for _ in range(count)]
            self._out += len(found)
            if lend:
                self._lent += len(found)
            if not found:
                if self._is_over():
                    raise EOFError
                self._wait(self._getters, self._starved, reader)
                self._let_in()
            self._see_to_putters()
            if self.ended:
                self._see_to_end()
        return found

    def _next_returned(self) -> tuple[bytes, int] | None:
        while self._returned:
            found = next(self._returned[0], None)
            if found is not None:
                return found
            self._returned.popleft()
        return None

    def _see_to_putters(self) -> None:
        if self._putters:
            if self._lent:
                self._look_into_windows()
            depth = len(self._lines) + self._lent
            if depth <= self._low or (self._hurried and depth < self.spec.maxsize):
                self._let_in()

    def hurry(self, writer: Waiter) -> None:
        """Let *writer*, which has waited for ``PATIENCE_S``, in at the first free place."""
        with self._lock:
            if writer in self._putters:
                self._hurried = True
                self._see_to_putters()

    def _let_in(self) -> None:
        self._hurried = False
        self._wake_all(self._putters, self._blocked)

    def restore(self, lines: Iterator[bytes], count: int) -> None:
        """Deliver *count* lines that an earlier session of the run has left."""
        self._in += count
        self._returned.append((line, 0) for line in lines)

    def published(self, lines: Iterable[bytes]) -> None:
        """Take note that *lines*, which come by another way than ``put``, are to be delivered."""
        if self.record is not None:
            self.record.published(lines)

    def done(self, lines: Iterable[bytes]) -> None:
        """Take note that *lines* need not be delivered again."""
        if self.record is not None:
            self.record.done(lines)

    def give_back(self, lines: Iterator[tuple[bytes, int]], count: int) -> None:
        """Deliver *lines*, *count* of them, again, before all others."""
        with self._lock:
            self._out -= count
            if self.closed or self.draining:
                return
            self._returned.appendleft(lines)
            self._wake_all(self._getters, self._starved)

    # Windows: what is lent to processes

    def add_window(self, window: Window) -> None:
        """Ask *window* from now on what was taken of what was lent."""
        with self._lock:
            self._windows.append(window)

    def look(self) -> None:
        """Ask all windows, and let in who may come."""
        with self._lock:
            if self._lent:
                self._look_into_windows()
            self._see_to_putters()

    def remove_window(self, window: Window) -> None:
        """Ask *window* no longer; what is left in it counts no more."""
        with self._lock:
            if window in self._windows:
                self._lent -= window.taken() + window.left()
                self._windows.remove(window)
            self._see_to_putters()

    # Ends

    def add_source(self) -> None:
        """Keep the queue from ending while a pipe still holds what its writer left."""
        with self._lock:
            self._sources += 1

    def remove_source(self) -> None:
        """Take back ``add_source``."""
        with self._lock:
            self._sources -= 1
            self._see_to_end()

    def end(self) -> None:
        """Nothing more will be published: after what is in it consumers see the end."""
        with self._lock:
            self.ended = True
            self._see_to_end()

    def _see_to_end(self) -> None:
        if self._is_over():
            self._wake_all(self._getters, self._starved)

    def _is_over(self) -> bool:
        return self.ended and not (self._sources or self._lines or self._returned)

    @property
    def is_over(self) -> bool:
        """Whether all that was published has been taken, and nothing more will come."""
        with self._lock:
            return self._is_over()

    def close(self, *, drain: bool = False) -> None:
        """Nobody reads it any more: publishing raises ``Closed``, or goes nowhere with *drain*."""
        with self._lock:
            if drain:
                self.draining = True
            else:
                self.closed = True
            self._lines.clear()
            self._returned.clear()
            self._size = self._lent = 0
            self._windows.clear()
            self._let_in()

    def withdraw(self, waiter: Waiter) -> None:
        """Let *waiter* wait no longer, for whatever it did."""
        with self._lock:
            for waiting, meter in ((self._putters, self._blocked), (self._getters, self._starved)):
                if waiter in waiting:
                    waiting.remove(waiter)
                    meter.change(self._now(), -1)
            # it may have been woken for what it will not take now
            if self._getters and (self._lines or self._returned or self._is_over()):
                self._wake(self._getters, self._starved)

    # Waiting

    def _wait(self, waiting: deque[Waiter], meter: Meter, waiter: Waiter) -> None:
        if waiter not in waiting:
            waiting.append(waiter)
            meter.change(self._now(), 1)

    def _wake(self, waiting: deque[Waiter], meter: Meter) -> None:
        meter.change(self._now(), -1)
        waiting.popleft().wake()

    def _wake_all(self, waiting: deque[Waiter], meter: Meter) -> None:
        while waiting:
            self._wake(waiting, meter)

    # What it has seen

    def opened(self) -> None:
        """Begin to measure."""
        with self._lock:
            if self._open_since is None:
                self._open_since = self._now()

    def set_aside(self, count: int = 1) -> None:
        """Count *count* lines that went to the dead letters."""
        with self._lock:
            self._dead += count

    @property
    def is_open(self) -> bool:
        """Whether it is in use: measured since someone needed it, and not for the last time."""
        return self._open_since is not None and not self._is_measured

    def measured(self, *, over: bool = False) -> Measured:
        """Return what it has seen by now; *over*: this is the last time."""
        with self._lock:
            self._is_measured = over
            now = self._now()
            for meter in (self._blocked, self._starved):
                meter.change(now, 0)
            if self._lent:
                self._look_into_windows()
            open_s = 0.0 if self._open_since is None else now - self._open_since
            return Measured(
                self.spec.name, now, False, self._in, self._out,
                len(self._lines) + self._lent, self._depth_max,
                self._blocked.sum_s, self._starved.sum_s, self._blocked.any_s, self._starved.any_s,
                open_s, self._dead, over,
            )  # fmt: skip
