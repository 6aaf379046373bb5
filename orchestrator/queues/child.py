"""The ends of queues inside a process or an interpreter of a task.

Imported there only, where all is to start fast. Items come and go as lines through pipes; what the
iterator hands out is counted in shared memory.
"""

from __future__ import annotations

import mmap
import os
import struct
import threading
import time

from orchestrator.current import TaskCancelled
from orchestrator.functions import Closed
from orchestrator.queues.items import CODECS
from orchestrator.records import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from typing import Any

_CHUNK = 65536
# What is published waits this long for more, unless nothing was published before.
_DELAY_S = 0.004
_MAX_KEPT_BYTES = 32768
ENDED, CLOSED = 1, 2


class Joint(NamedTuple):
    """Which ends there are: each a descriptor and a format. JSON-able.

    *careful*: what came of an item is written before the next one is asked for.
    """

    consume: tuple[int, str] | None
    publish: tuple[int, str] | None
    ledger: int
    careful: bool

    @property
    def descriptors(self) -> tuple[int, ...]:
        """The descriptors, which the process inherits."""
        ends = [end[0] for end in (self.consume, self.publish) if end is not None]
        return (self.ledger, *ends)


class PipeEnds:
    """What ``functions.call`` takes as ends."""

    def __init__(self, joint: Joint) -> None:
        for descriptor in joint.descriptors:
            os.set_inheritable(descriptor, False)
        self._ledger = mmap.mmap(joint.ledger, struct.calcsize("QQ"))
        self._writer = _Writer(*joint.publish) if joint.publish is not None else None
        self.publish: Callable[[Any], None] | None = None
        self.items: Iterator[Any] | None = None
        if self._writer is not None:
            self.publish = self._writer.publish
        if joint.consume is not None:
            self.items = _Items(self._generate(*joint.consume, careful=joint.careful))

    def is_closed(self) -> bool:
        """Tell whether nobody reads what is published any more."""
        return (self._writer is not None and self._writer.closed) or self._state() == CLOSED

    def finish(self) -> None:
        """Write what is left; nothing is published any more."""
        if self._writer is not None:
            self._writer.finish()

    def _state(self) -> int:
        return int(struct.unpack_from("Q", self._ledger, 8)[0])

    def _generate(self, descriptor: int, form: str, *, careful: bool) -> Iterator[Any]:
        decode, ledger, writer = CODECS[form][1], self._ledger, self._writer
        count = memoryview(ledger).cast("Q")
        rest = b""
        while True:
            if writer is not None:
                writer.flush()
            data = os.read(descriptor, _CHUNK)
            if not data:
                break
            lines = (rest + data).split(b"\n") if rest else data.split(b"\n")
            rest = lines.pop()
            for line in lines:
                if careful and writer is not None:
                    writer.flush()
                count[0] += 1
                yield decode(line)
        if careful and writer is not None:
            writer.flush()
        state = self._state()
        if state == ENDED:
            return
        if state == CLOSED:
            raise GeneratorExit
        raise TaskCancelled("the pipeline is being stopped")


class _Items:
    """An iterator that stays where it is when it is asked again after its end."""

    def __init__(self, items: Iterator[Any]) -> None:
        self._items = items
        self._lock = threading.Lock()

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        with self._lock:
            return next(self._items)

    def __aiter__(self) -> AsyncIterator[Any]:
        return self._generate_async()

    async def _generate_async(self) -> AsyncIterator[Any]:
        import asyncio  # noqa: PLC0415 - only for who needs it

        end = object()
        while (item := await asyncio.to_thread(next, self, end)) is not end:
            yield item


class _Writer:
    """Writes items as lines: the first at once, those that follow soon after together."""

    def __init__(self, descriptor: int, form: str) -> None:
        self._descriptor = descriptor
        self._encode = CODECS[form][0]
        self._lock = threading.Lock()
        self._kept: list[bytes] = []
        self._size = 0
        self._written_at = 0.0
        self._armed = threading.Lock()
        self._armed.acquire()
        self._thread: threading.Thread | None = None
        self.closed = False

    def publish(self, value: Any) -> None:
        """Write *value*, or keep it for a moment. Raises ``Closed``, ``OutputError``."""
        line = self._encode(value)
        with self._lock:
            if self.closed:
                raise Closed
            self._kept.append(line)
            self._size += len(line)
            late = time.monotonic() - self._written_at > _DELAY_S
            if late or self._size > _MAX_KEPT_BYTES:
                self._write()
            elif len(self._kept) == 1:
                self._arm()
        if self.closed:
            raise Closed

    def flush(self) -> None:
        """Write what is kept; return when it is out, also what another thread was writing."""
        with self._lock:
            self._write()

    def finish(self) -> None:
        """Write what is kept, and end the thread that writes, also where that cannot be written."""
        with self._lock:
            try:
                self._write()
            finally:
                self.closed = True
                if self._armed.locked():
                    self._armed.release()

    def _arm(self) -> None:
        if self._thread is None:
            self._thread = _thread(self._write_later)
            self._thread.start()
        if self._armed.locked():
            self._armed.release()

    def _write_later(self) -> None:
        while not self.closed:
            self._armed.acquire()
            time.sleep(_DELAY_S)
            with self._lock:
                self._write()

    def _write(self) -> None:
        if not self._kept:
            return
        self._kept.append(b"")
        data = memoryview(b"\n".join(self._kept))
        self._kept, self._size = [], 0
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
        except BrokenPipeError:
            self.closed = True
        self._written_at = time.monotonic()


def _thread(target: Callable[[], None]) -> threading.Thread:
    """Return a thread that keeps nothing from ending, where there may be one."""
    try:
        return threading.Thread(target=target, daemon=True)
    except RuntimeError:  # not in an interpreter beside the first one; ``finish`` ends it there
        return threading.Thread(target=target, daemon=False)
