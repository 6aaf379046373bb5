"""The ends of a queue for a function on a thread of orch."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress

from orchestrator.current import TaskCancelled
from orchestrator.queues.channel import PATIENCE_S
from orchestrator.queues.items import CODECS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from typing import Any

    from orchestrator.queues.channel import Channel

    Refusal = Callable[[], BaseException]


class _End:
    """Lets one thread wait for a channel; *refused* makes what it is asked to do next raise."""

    __slots__ = ("_channel", "_gate", "_lock", "refused")

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._gate = threading.Lock()
        self._gate.acquire()
        self._lock = threading.Lock()  # a function may share its iterator among threads of its own
        self.refused: Refusal | None = None

    def wake(self) -> None:
        """Let the thread look again."""
        with suppress(RuntimeError):  # it was told already
            self._gate.release()

    def refuse(self, refusal: Refusal) -> None:
        """Raise what *refusal* makes from now on, also in a thread that is waiting."""
        if self.refused is None:
            self.refused = refusal
            self.wake()

    def _refuse(self, refusal: Refusal) -> BaseException:
        self._channel.withdraw(self)
        return refusal()


class Writer(_End):
    """Publishes what a function yields."""

    __slots__ = ("_encode",)

    def __init__(self, channel: Channel) -> None:
        super().__init__(channel)
        self._encode = CODECS[channel.spec.format][0]

    @property
    def closed(self) -> bool:
        """Whether nobody reads it any more."""
        return self._channel.closed

    def publish(self, value: Any) -> None:
        """Wait for room for *value* and hand it on.

        Raises ``OutputError`` for what cannot be an item, ``Closed`` when nobody reads it any
        more, and what it was refused with.
        """
        line, channel = self._encode(value), self._channel
        while True:
            if self.refused is not None:
                raise self._refuse(self.refused)
            if channel.put(line, self):
                return
            if not self._gate.acquire(timeout=PATIENCE_S):
                channel.hurry(self)
                self._gate.acquire()


class Reader(_End):
    """What a function iterates over.

    With ``at_least_once`` an item is done when the next one is asked for: the one in hand is
    delivered again if the attempt fails.
    """

    __slots__ = ("_decode", "_items", "_taken", "saw_end")

    def __init__(self, channel: Channel) -> None:
        super().__init__(channel)
        self._decode = CODECS[channel.spec.format][1]
        self._items = self._generate()
        self._taken: tuple[bytes, int] | None = None
        self.saw_end = False

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if self.refused is not None:
            raise self._refuse(self.refused)
        with self._lock:
            return next(self._items)

    def __aiter__(self) -> AsyncIterator[Any]:
        return self._generate_async()

    async def _generate_async(self) -> AsyncIterator[Any]:
        import asyncio  # noqa: PLC0415 - only for who needs it

        end = object()
        while (item := await asyncio.to_thread(next, self, end)) is not end:
            yield item

    def _generate(self) -> Iterator[Any]:
        channel, decode = self._channel, self._decode
        get, wait = channel.get, self._gate.acquire
        records = channel.record is not None
        while True:
            if self.refused is not None:
                raise self._refuse(self.refused)
            if self._taken is not None:
                if records:
                    channel.done(self._taken[:1])
                self._taken = None
            try:
                taken = get(self)
            except EOFError:
                self.saw_end = True
                return
            if taken is None:
                wait()
                continue
            self._taken = taken
            yield decode(taken[0])

    def in_hand(self) -> tuple[bytes, int] | None:
        """Return the item that was handed out last, and how often it had failed."""
        return self._taken


class ThreadEnds:
    """What ``functions.call`` takes as ends, on a thread."""

    def __init__(self, reader: Reader | None, writer: Writer | None) -> None:
        self.reader, self.writer = reader, writer
        self.items: Iterator[Any] | None = reader
        self.publish: Callable[[Any], None] | None = writer.publish if writer is not None else None

    def is_closed(self) -> bool:
        """Tell whether nobody reads what is published any more."""
        return self.writer is not None and self.writer.closed

    def close(self) -> None:
        """Nobody reads what is published: whoever waits for more to do so from waits in vain."""
        if self.reader is not None:
            self.reader.refuse(GeneratorExit)

    def cancel(self) -> None:
        """Wake the function where it waits: it is to stop."""
        for end in (self.reader, self.writer):
            if end is not None:
                end.refuse(lambda: TaskCancelled("the task was asked to stop"))
