"""The ends of a queue for other processes: a line an item, through pipes.

All of it runs on the poller's thread, and nothing in it blocks. What a consumer is given at once
follows what it takes: a pipe of one page says "writable" when all in it was read, so that of
several consumers none is given much more than it can work off while others have nothing to do.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import select
import struct
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from orchestrator import descriptors
from orchestrator.events import Failure
from orchestrator.functions import Closed
from orchestrator.poller import READ, WRITE
from orchestrator.queues.channel import PATIENCE_S
from orchestrator.queues.items import MAX_BYTES, TooDeep, check_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from orchestrator.poller import Poller
    from orchestrator.queues.channel import Channel, Now
    from orchestrator.queues.spool import Spool

    Spoil = Callable[[Failure], None]

PAGE = os.sysconf("SC_PAGE_SIZE")
_CHUNK = 65536
_SMALL_MAXSIZE = 64
# A consumer that takes what it is given sooner gets twice as much, later half as much.
_SOON_S, _LATE_S = 0.002, 0.010
_LINES_AT_ONCE = 4096
OPEN, ENDED, CLOSED = 0, 1, 2


def new_pipe(size: int) -> tuple[int, int]:
    """Return the ends of a pipe of *size* bytes, where the system lets that be chosen."""
    read, write = map(descriptors.hold, os.pipe2(os.O_CLOEXEC))
    setter = getattr(fcntl, "F_SETPIPE_SZ", None)
    if setter is not None:
        with suppress(OSError):
            fcntl.fcntl(write, setter, size)
    return read, write


class Ledger:
    """Two numbers in memory that is shared with a process of ours: items taken, and the state.

    The process counts what its iterator hands out; orch can read that at any time, also when the
    process was killed.
    """

    def __init__(self, descriptor: int) -> None:
        os.ftruncate(descriptor, struct.calcsize("QQ"))
        self._map = mmap.mmap(descriptor, struct.calcsize("QQ"))

    @property
    def handed(self) -> int:
        """How many items were handed out."""
        return int(struct.unpack_from("Q", self._map, 0)[0])

    def say(self, state: int) -> None:
        """Tell the process why its input comes to an end."""
        struct.pack_into("Q", self._map, 8, state)

    def close(self) -> None:
        """Give the memory back."""
        self._map.close()


class Inlet:
    """Reads what a process publishes.

    *spoil* is told of a line that cannot be an item; *trusted*: the process is our own, and sends
    no such lines.
    """

    def __init__(self, poller: Poller, channel: Channel, *, trusted: bool, spoil: Spoil) -> None:
        self._poller, self._channel, self._spoil = poller, channel, spoil
        small = channel.spec.maxsize <= _SMALL_MAXSIZE
        self._chunk = PAGE if small else _CHUNK
        self._descriptor, self.given = new_pipe(self._chunk)
        os.set_blocking(self._descriptor, False)
        self._checks = channel.spec.format == "json" and not trusted
        self._partial = b""
        self._number = 0  # of the last line
        self._lines: deque[bytes] = deque()
        self._listening = self._counted = False
        self._wrong: Failure | None = None

    def start(self) -> None:
        """Begin to read."""
        self._listen()

    def wake(self) -> None:
        """Come back: there is room."""
        self._poller.call(self._pass_on)

    def _listen(self) -> None:
        if not self._listening and self._descriptor >= 0:
            self._listening = True
            self._poller.add(self._descriptor, READ, self._read)

    def _ignore(self) -> None:
        if self._listening:
            self._listening = False
            self._poller.remove(self._descriptor)

    def _read(self) -> None:
        try:
            data = os.read(self._descriptor, self._chunk)
        except BlockingIOError:
            return
        if not data:  # closed; the queue ends with the process
            self.shut()
            return
        self._take(data)
        self._pass_on()

    def _take(self, data: bytes) -> None:
        """Cut *data* into lines."""
        if self._wrong is not None:
            return
        if self._partial:
            data = self._partial + data
        lines = data.split(b"\n")
        self._partial = lines.pop()
        if not self._are_items(lines):
            return
        self._accept(lines)
        if len(self._partial) > MAX_BYTES:
            self._is_wrong(self._number + 1, f"is longer than {MAX_BYTES} bytes")

    def _accept(self, lines: list[bytes]) -> None:
        """Take note of *lines* here: what their publisher was given is done once they are read."""
        if not self._channel.closed:
            self._channel.published(lines)
        self._lines.extend(lines)

    def drain(self) -> bool:
        """Read what the process has written by now, if there is room; tell whether it was."""
        if self._lines or self._descriptor < 0:
            return not self._lines
        with suppress(BlockingIOError):
            while data := os.read(self._descriptor, _CHUNK):
                self._take(data)
        self._pass_on()
        return True

    def _are_items(self, lines: list[bytes]) -> bool:
        for line in lines:
            self._number += 1
            if len(line) > MAX_BYTES:
                self._is_wrong(self._number, f"is longer than {MAX_BYTES} bytes")
                return False
            if self._checks:
                try:
                    check_json(line)
                except TooDeep:
                    self._is_wrong(self._number, "is nested too deep")
                    return False
                except ValueError:
                    self._is_wrong(self._number, "is not JSON (format: text?)")
                    return False
        return True

    def _is_wrong(self, number: int, what: str) -> None:
        self._partial = b""
        self._wrong = Failure("OutputError", f"line {number} of stdout {what}")
        self._spoil(self._wrong)

    def _pass_on(self) -> None:
        try:
            done = self._channel.offer(self._lines, self)
        except Closed:
            self._lines.clear()
            self.shut()
            done = True
        if not done:
            self._ignore()
            self._poller.call_later(PATIENCE_S, lambda: self._channel.hurry(self))
        elif self._counted:
            self._counted = False
            self._channel.remove_source()
        else:
            self._listen()

    def shut(self) -> None:
        """Read no more: who writes gets SIGPIPE."""
        self._ignore()
        if self._descriptor >= 0:
            descriptors.close(self._descriptor)
            self._descriptor = -1

    def finish(self) -> Failure | None:
        """Read what the process left, when it has ended; return why that is no item, if so.

        What there is no room for yet is passed on later, and keeps the queue from ending.
        """
        self._ignore()
        left = 2**20  # no pipe holds more; another process may hold it open, and go on writing
        while self._descriptor >= 0 and left > 0:
            try:
                data = os.read(self._descriptor, _CHUNK)
            except OSError:
                break
            if not data:
                break
            left -= len(data)
            self._take(data)
        self.shut()
        if self._partial and self._wrong is None:
            last, self._partial = self._partial, b""
            if self._are_items([last]):
                self._accept([last])
        if self._lines:
            self._counted = True
            self._channel.add_source()
            self._pass_on()
        return self._wrong


class Outlet:
    """Writes a queue's items to a process that consumes them.

    With a *ledger* the items count against ``maxsize`` until the process has taken them out of its
    pipe. *drain* reads what the process has published, and tells whether it did. A *spool* keeps
    all that was given; *spoil* is told where it cannot. *gone* is called when the process reads no
    more.
    """

    def __init__(  # noqa: PLR0913 - what it asks of others, each by its name
        self,
        poller: Poller,
        channel: Channel,
        now: Now,
        *,
        ledger: Ledger | None,
        spool: Spool | None,
        gone: Callable[[], None],
        spoil: Spoil,
        drain: Callable[[], bool] = lambda: True,
    ) -> None:
        self._poller, self._channel, self._now = poller, channel, now
        self._drain = drain
        self._done: list[bytes] = []  # and not recorded as such
        self._gone, self._spoil = gone, spoil
        self._ledger, self._spool = ledger, spool
        self.given, self._descriptor = new_pipe(PAGE)
        os.set_blocking(self._descriptor, False)
        self._rest: memoryview | bytes = b""
        self._batch: list[tuple[bytes, int]] = []  # what is being written
        self._listening = False
        self._at_once = 1
        self._written_at: float | None = None
        self._window: deque[tuple[bytes, int]] = deque()  # given; the first was handed out
        self._given = self._seen = self._dropped = self._surely = self._before = 0
        self.saw_end = False

    def start(self) -> None:
        """Begin to write."""
        if self._ledger is not None:
            self._channel.add_window(self)
        self._write_more()

    def wake(self) -> None:
        """Come back: there are items."""
        self._poller.call(self._write_more)

    def taken(self) -> int:
        """Return how many items were handed out since this was last asked."""
        assert self._ledger is not None
        handed = max(self._surely, min(self._ledger.handed, self._given))
        taken, self._seen = handed - self._seen, handed
        return taken

    def left(self) -> int:
        """Return how many of the items that were lent count as not taken."""
        return self._given - self._seen

    def _write_more(self) -> None:
        """Write as many items as make sense: the pipe is empty, or there are new ones."""
        if self._descriptor < 0:
            return
        if self._rest:
            self._write()
            return
        if self._ledger is not None:
            if self._written_at is not None:
                # it has read all, so it is about to hand out the first of the last ones: the count
                # may come a moment later, and nothing would tell of that
                self._surely = self._before + 1
            self._forget_taken()
        self._adapt()
        lend = self._ledger is not None
        try:
            taken = self._channel.take(self._at_once, PAGE, self, lend=lend)
        except EOFError:
            self.saw_end = True
            self.shut(ENDED)
            return
        if not taken:
            self._ignore()
            return
        lines = [line for line, _ in taken]
        if self._spool is not None and not self._kept(lines):
            self._channel.give_back(iter(taken), len(taken))
            return
        if lend:
            self._before = self._given
            self._given += len(taken)
            self._window.extend(taken)
        lines.append(b"")
        self._rest = b"\n".join(lines)
        self._batch = taken
        self._write()

    def _kept(self, lines: list[bytes]) -> bool:
        assert self._spool is not None
        try:
            self._spool.add(lines)
        except OSError as error:
            self.shut(OPEN)
            self._spoil(Failure("OSError", f"cannot keep its items for another try: {error}"))
            return False
        return True

    def _adapt(self) -> None:
        if self._written_at is None:
            return
        passed_s = self._now() - self._written_at
        self._written_at = None
        if passed_s < _SOON_S:
            self._at_once = min(self._at_once * 2, _LINES_AT_ONCE)
        elif passed_s > _LATE_S:
            self._at_once = max(1, self._at_once // 2)

    def _write(self) -> None:
        try:
            written = os.write(self._descriptor, self._rest)
        except BlockingIOError:
            written = 0
        except OSError:  # EPIPE: it has closed its end, or has ended
            self.shut(OPEN)
            self._give_back_unwritten()
            self._gone()
            return
        self._rest = memoryview(self._rest)[written:] if written < len(self._rest) else b""
        if not self._rest:
            self._written_at = self._now()
            self._batch = []
        if not self._listening:
            self._listening = True
            self._poller.add(self._descriptor, WRITE, self._write_more)

    def _give_back_unwritten(self) -> None:
        """Let others have what a program was to be given and did not take into its pipe."""
        if self._ledger is not None or self._spool is not None:
            return  # what they were given is known
        left, unwritten = len(self._rest), []
        while self._batch and left > 0:
            line = self._batch.pop()
            left -= len(line[0]) + 1
            if left >= 0:
                unwritten.append(line)
        self._rest, self._batch = b"", []
        if unwritten:
            self._channel.give_back(iter(unwritten[::-1]), len(unwritten))

    def _ignore(self) -> None:
        self._written_at = None
        if self._listening:
            self._listening = False
            self._poller.remove(self._descriptor)

    def _forget_taken(self) -> None:
        """Let go of what was handed out, but for the last one, which is in hand."""
        self._channel.look()
        assert self._ledger is not None
        handed = self._ledger.handed  # not `_seen`: a process that was killed has taken less
        while self._dropped < min(handed, self._given) - 1:
            line, _ = self._window.popleft()
            self._dropped += 1
            if self._channel.record is not None:
                self._done.append(line)
        if self._done and self._drain():  # what came of them is on record
            self._channel.done(self._done)
            self._done.clear()

    def shut(self, state: int) -> None:
        """Write no more; a process of ours is told why."""
        self._ignore()
        if self._descriptor < 0:
            return
        if self._ledger is not None:
            self._ledger.say(state)
        descriptors.close(self._descriptor)
        self._descriptor = -1
        self._channel.withdraw(self)

    def finish(self) -> tuple[tuple[bytes, int] | None, list[tuple[bytes, int]]]:
        """Return what the process had in hand when it ended, and what it had not taken.

        Of a program that is not known: nothing is returned.
        """
        self.shut(OPEN)
        if self._ledger is None:
            self._give_back_unwritten()
            return None, []
        handed = min(self._ledger.handed, self._given)
        window = list(self._window)
        left = window[handed - self._dropped :]
        self._channel.remove_window(self)
        index = handed - self._dropped - 1
        in_hand = window[index] if 0 <= index < len(window) else None
        self._channel.done([*self._done, *(line for line, _ in window[: max(0, index)])])
        self._ledger.close()
        return in_hand, left

    def spooled(self) -> tuple[Iterable[bytes], int]:
        """Return all lines that were given, and their number."""
        assert self._spool is not None
        return self._spool.lines(), self._spool.count


class Direct:
    """A plain pipe between two programs. Nobody looks at what goes through it.

    orch holds the end for writing too, so that who reads sees no end before the queue has one.
    """

    def __init__(self) -> None:
        self.read, self.write = map(descriptors.hold, os.pipe2(os.O_CLOEXEC))

    def reader_started(self) -> None:
        """Give back what only the reader needs."""
        if self.read >= 0:
            descriptors.close(self.read)
            self.read = -1

    def is_cut(self) -> bool:
        """Tell whether nobody reads it any more."""
        if self.write < 0 or self.read >= 0:
            return False
        poll = select.poll()
        poll.register(self.write, 0)
        return any(events & select.POLLERR for _, events in poll.poll(0))

    def end(self) -> None:
        """Let the reader see the end."""
        if self.write >= 0:
            descriptors.close(self.write)
            self.write = -1

    def close(self) -> None:
        """Give both ends back."""
        self.reader_started()
        self.end()


def with_failures(lines: Iterable[bytes], failures: int) -> Iterator[tuple[bytes, int]]:
    """Yield *lines*, each as having failed so often."""
    return ((line, failures) for line in lines)
