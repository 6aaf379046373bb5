"""One thread that waits for everything outside: children, what they say, their pipes."""

from __future__ import annotations

import os
import select
import threading
import time
from collections import deque
from contextlib import suppress
from heapq import heappop, heappush

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Call = Callable[[], None]


READ, WRITE = select.POLLIN, select.POLLOUT


class Poller:
    """Calls back when a descriptor is ready; all that it calls runs on its own thread.

    What is called must not block. *failed* gets an exception in it, which is a bug: the thread that
    waits for all the others goes on, but someone may wait for what was not done.
    """

    def __init__(self, failed: Callable[[Exception], None]) -> None:
        self._failed = failed
        self._poll = _Poll()
        self._wake_read, self._wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._ready: dict[int, Call] = {}
        self.add(self._wake_read, READ, self._wake_up)
        self._calls: deque[Call] = deque()
        self._later: list[tuple[float, int, Call]] = []
        self._later_count = 0
        self._asleep = True  # whether it has to be woken for what is called next
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closing = False

    def call(self, function: Call) -> None:
        """Run *function* on the thread of the poller, soon. May be called from anywhere."""
        self._calls.append(function)
        if self._thread is None:
            self.begin()
        if self._asleep:  # it is not when it calls itself
            self._asleep = False
            with suppress(OSError):
                os.write(self._wake_write, b"x")

    def begin(self) -> None:
        """Start the thread, if that was not done. Raises ``RuntimeError`` where none can be had."""
        with self._lock:
            if self._thread is None and not self._closing:
                thread = threading.Thread(target=self._loop, name="orch-poller", daemon=True)
                thread.start()
                self._thread = thread

    def call_later(self, delay_s: float, function: Call) -> None:
        """Run *function* on the thread of the poller after *delay_s*. On that thread only."""
        self._later_count += 1
        heappush(self._later, (time.monotonic() + delay_s, self._later_count, function))

    def add(self, descriptor: int, events: int, ready: Call) -> None:
        """Call *ready* whenever *descriptor* is. On the poller's thread, or before it runs."""
        self._poll.register(descriptor, events)
        self._ready[descriptor] = ready

    def remove(self, descriptor: int) -> None:
        """Wait for *descriptor* no longer."""
        if self._ready.pop(descriptor, None) is not None:
            self._poll.unregister(descriptor)

    def close(self) -> None:
        """End the thread, once what it was told to do is done."""
        self._closing = True
        if self._thread is not None:
            self.call(lambda: None)
            self._thread.join(timeout=5.0)
        self._poll.close()
        os.close(self._wake_read)
        os.close(self._wake_write)
        self._wake_write = -1  # a stray thread must not write into what gets this number next

    def _loop(self) -> None:
        while not self._closing:
            self._run_calls()
            patience_s = self._run_later()
            self._asleep = True  # before the last look: what is called now wakes it
            if self._calls:
                patience_s = 0.0
            found = self._poll.wait(patience_s)
            self._asleep = False
            for descriptor, call in [(number, self._ready.get(number)) for number in found]:
                # not removed, or replaced, by what was called before it
                if call is not None and self._ready.get(descriptor) is call:
                    self._run(call)

    def _run_calls(self) -> None:
        calls = self._calls
        while calls:
            self._run(calls.popleft())

    def _run_later(self) -> float | None:
        """Run what is due, and return how long nothing more will be."""
        while self._later and (left_s := self._later[0][0] - time.monotonic()) <= 0:
            self._run(heappop(self._later)[2])
        return left_s if self._later else None

    def _run(self, function: Call) -> None:
        try:
            function()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told
            self._failed(error)

    def _wake_up(self) -> None:
        with suppress(BlockingIOError):
            os.read(self._wake_read, 4096)


class _Poll:
    """``epoll`` where there is one, else ``poll``; with ``selectors`` come three modules more."""

    def __init__(self) -> None:
        self._has_epoll = hasattr(select, "epoll")
        self._poll: Any = select.epoll() if self._has_epoll else select.poll()
        self.register, self.unregister = self._poll.register, self._poll.unregister

    def wait(self, patience_s: float | None) -> list[int]:
        """Return the descriptors that are ready, or have an error, within *patience_s*."""
        if patience_s is None:
            return [number for number, _ in self._poll.poll(-1)]
        ms = -int(-patience_s * 1000 // 1)  # rounded up, or it would look many times
        return [number for number, _ in self._poll.poll(ms / 1000 if self._has_epoll else ms)]

    def close(self) -> None:
        """Give the descriptor back."""
        if self._has_epoll:
            self._poll.close()
