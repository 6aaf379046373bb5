"""All queues of one run, as runners and the loop see them."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from contextlib import suppress

from orchestrator import descriptors, jsonio
from orchestrator.events import (
    Arrived,
    Attempt,
    Drained,
    Left,
    Measured,
    Noted,
    Spoiled,
)
from orchestrator.queues.channel import Channel
from orchestrator.queues.child import Joint
from orchestrator.queues.items import CODECS
from orchestrator.queues.pipes import CLOSED, OPEN, Direct, Inlet, Ledger, Outlet, with_failures
from orchestrator.queues.spool import ItemRecord, Spool, record_path, set_aside
from orchestrator.queues.threads import Reader, ThreadEnds, Writer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from orchestrator.events import (
        Ended,
        Failure,
    )
    from orchestrator.plan.model import Plan, PlanQueue
    from orchestrator.poller import Poller
    from orchestrator.queues.channel import Now
    from orchestrator.recovery import Recovery

    Post = Callable[[Arrived | Drained | Left | Spoiled | Noted], None]
    Key = tuple[str, int]


class Consumed:
    """How the consuming end of an attempt ended: fields of ``Ended``."""

    __slots__ = ("item_failures", "unread")

    def __init__(self, *, unread: bool = False, item_failures: int | None = None) -> None:
        self.unread, self.item_failures = unread, item_failures


class Queues:
    """The queues of a run, and the ends that attempts have of them."""

    def __init__(
        self,
        plan: Plan,
        folder: str,
        poller: Poller,
        post: Post,
        now: Now,
        recovery: Recovery | None = None,
        *,
        records: bool = True,
    ) -> None:
        """Make them; with *recovery* they hold what an earlier session of the run has left.

        With *records* what is delivered again is kept on disk for a later session.
        """
        self.plan, self.folder = plan, folder
        self.poller, self.post, self.now = poller, post, now
        self._records = records
        self._made = recovery.attempts if recovery is not None else {}
        self._arrived = recovery.arrived if recovery is not None else {}
        going_on = recovery.undelivered if recovery is not None else ()
        self._channels: dict[str, Channel] = {}
        for name, queue in plan.queues.items():
            if not queue.direct:
                self._channels[name] = self._channel(queue, goes_on=name in going_on)
        self._directs: dict[str, Direct] = {}
        self._direct_since: dict[str, float] = {}
        self._ends: dict[Key, ThreadEnds] = {}
        self._pipes: dict[Key, Pipes] = {}
        self._feeders: dict[str, Feeder] = {}

    def _channel(self, queue: PlanQueue, *, goes_on: bool) -> Channel:
        if queue.delivery != "at_least_once" or not self._records:
            return Channel(queue, self.now)
        record = ItemRecord(record_path(self.folder, queue.name), goes_on=goes_on)
        channel = Channel(queue, self.now, record)
        if goes_on:
            channel.restore(*record.undelivered())
        return channel

    # For runners

    def ends(self, attempt: Attempt) -> ThreadEnds | None:
        """Return the ends of a function on a thread; None where it has none."""
        if attempt.consume is None and attempt.publish is None:
            return None
        reader = writer = None
        if attempt.consume is not None:
            reader = Reader(self.open(attempt.consume))
        if attempt.publish is not None:
            writer = Writer(self.open(attempt.publish))
        ends = self._ends[attempt.task, attempt.number] = ThreadEnds(reader, writer)
        return ends

    def let_go(self, attempt: Attempt, ends: ThreadEnds, *, ok: bool) -> Consumed:
        """Take back what a function on a thread had in hand, when it has ended or is given up."""
        ends.cancel()
        self._ends.pop((attempt.task, attempt.number), None)
        reader = ends.reader
        if reader is None or attempt.consume is None:
            return Consumed()
        failures = self.settle(attempt, ok=ok, in_hand=reader.in_hand(), left=[])
        return Consumed(unread=not reader.saw_end, item_failures=failures)

    def pipes(self, attempt: Attempt, *, ours: bool) -> Pipes | None:
        """Return the pipes of an attempt, *ours* with a function; None where it has none.

        Raises ``OSError``.
        """
        if attempt.consume is None and attempt.publish is None:
            return None
        pipes = Pipes(self, attempt, ours=ours)
        self._pipes[attempt.task, attempt.number] = pipes
        return pipes

    def is_direct(self, name: str) -> bool:
        """Tell whether queue *name* is a plain pipe."""
        return self.plan.queues[name].direct

    def direct(self, name: str) -> Direct:
        """Return the plain pipe that queue *name* is."""
        if name not in self._directs:
            self._directs[name] = Direct()
            self._direct_since[name] = self.now()
        return self._directs[name]

    def forget(self, attempt: Attempt) -> None:
        """Let go of the pipes of *attempt*, which has ended."""
        self._pipes.pop((attempt.task, attempt.number), None)

    def open(self, name: str) -> Channel:
        """Return queue *name*, which is measured from now on."""
        channel = self._channels[name]
        channel.opened()
        return channel

    def settle(
        self,
        attempt: Attempt,
        *,
        ok: bool,
        in_hand: tuple[bytes, int] | None,
        left: list[tuple[bytes, int]],
    ) -> int | None:
        """Give back what was not taken, and what failed; return how often that has failed."""
        assert attempt.consume is not None
        channel = self._channels[attempt.consume]
        failures = None
        if in_hand is not None and ok:
            channel.done(in_hand[:1])
        if in_hand is not None and not ok and channel.again:
            line, failed = in_hand
            failures = failed + 1
            keeps = channel.spec.dead_letter is not None
            if keeps and failures >= self.tries(attempt) and self.keep_aside(attempt, [line], 1):
                failures = 0
                channel.done([line])
            else:
                left = [(line, failures), *left]
            failures = failures if keeps else None
        if left:
            channel.give_back(iter(left), len(left))
        return failures

    def tries(self, attempt: Attempt) -> int:
        """Return how many tries the task of *attempt* has."""
        return self.plan.tasks[attempt.task.partition(".")[0]].retry.attempts

    def is_last(self, attempt: Attempt) -> bool:
        """Tell whether *attempt* is the last one that its task makes in this session of the run."""
        return attempt.number - self._made.get(attempt.task, 0) >= self.tries(attempt)

    def keep_aside(self, attempt: Attempt, lines: Iterable[bytes], count: int) -> bool:
        """Keep *lines* as dead letters, and say so; tell whether that could be done."""
        assert attempt.consume is not None
        channel = self._channels[attempt.consume]
        path = channel.spec.dead_letter or ""
        said: dict[str, object] = {"queue": channel.spec.name, "items": count, "file": path}
        try:
            set_aside(path, lines)
        except OSError as error:
            said |= {"level": "error", "event": "item not set aside", "reason": error.strerror}
            done = False
        else:
            said |= {"level": "warning", "event": "item set aside"}
            channel.set_aside(count)
            done = True
        self.post(Noted(attempt.task, attempt.number, "log", said, self.now()))
        return done

    # For the loop

    def end(self, name: str) -> None:
        """Let the consumers of queue *name* see its end, after what is left in it."""
        if name in self._channels:
            self._channels[name].end()
        elif name in self._directs:
            self._directs[name].end()

    def close(self, name: str, *, drain: bool) -> None:
        """Tell who publishes to queue *name* that nobody reads it; with *drain* nobody is told."""
        channel = self._channels.get(name)
        if channel is None:
            return  # the system tells who writes to a plain pipe
        channel.close(drain=drain)
        if channel.record is not None:
            channel.record.remove()  # who publishes to it ends well without having published all
        if drain:
            return
        for task in channel.spec.publishers:
            for key, ends in list(self._ends.items()):
                if key[0].partition(".")[0] == task:
                    ends.close()
            for key, pipes in list(self._pipes.items()):
                if key[0].partition(".")[0] == task:
                    pipes.close()

    def feed(self, task: str, most: int) -> None:
        """Take up to *most* more items for *task*, one attempt each."""
        feeder = self._feeders.get(task)
        if feeder is None:
            source = self.plan.tasks[task].source
            assert source is not None
            feeder = Feeder(
                task, self.open(source), self.poller, self.post, self.now,
                index=self._arrived.get(task, 0),
            )  # fmt: skip
            self._feeders[task] = feeder
        feeder.want(most)

    def stop_feed(self, task: str) -> None:
        """Take no more items for *task*."""
        if task in self._feeders:
            self._feeders[task].stop()

    def give_back(self, task: str, item: str, *, recorded: bool) -> None:
        """Let others have an item, JSON text, that was taken for *task* and is not needed.

        *recorded*: it is in the journal that it came for *task*.
        """
        source = self.plan.tasks[task].source
        assert source is not None
        line, channel = self._line(source, item), self._channels[source]
        if recorded:
            channel.published([line])
        channel.give_back(iter([(line, 0)]), 1)

    def delivered(self, task: str, item: str) -> None:
        """Take note that an item, JSON text, that came for *task* is in the journal."""
        source = self.plan.tasks[task].source
        assert source is not None
        if self._channels[source].record is not None:
            self._channels[source].done([self._line(source, item)])

    def _line(self, name: str, item: str) -> bytes:
        """Return the line that *item*, JSON text, was."""
        if self._channels[name].spec.format == "text":
            return CODECS["text"][0](jsonio.loads(item))
        return item.encode("utf-8", "surrogateescape")

    def set_aside(self, name: str, task: str, item: str) -> None:
        """Keep the item of instance *task*, JSON text, as a dead letter of queue *name*."""
        line = self._line(name, item)
        blank = Attempt(
            task, 1, "", None, [], {}, [], None, None, "", "", "", "file", (), consume=name
        )
        self.keep_aside(blank, [line], 1)

    def in_use(self) -> list[str]:
        """Return the queues that were opened and are not over, and are looked at."""
        return [name for name, channel in self._channels.items() if channel.is_open]

    def measured(self, names: Iterable[str], *, over: bool = False) -> list[Measured]:
        """Return what the queues *names* have seen by now."""
        return [self._measured(name, over=over) for name in names]

    def _measured(self, name: str, *, over: bool) -> Measured:
        if name in self._channels:
            return self._channels[name].measured(over=over)  # the last time, where it is over
        now = self.now()
        open_s = now - self._direct_since.get(name, now)
        blank = (None,) * 8
        return Measured(name, now, True, *blank, open_s, 0, over)

    def let_pipes_go(self, names: Iterable[str]) -> None:
        """Give back what the queues *names* hold; all who were joined by them have ended."""
        for name in names:
            direct = self._directs.pop(name, None)
            if direct is not None:
                direct.close()
            elif name in self._channels:
                self._channels[name].close()

    def remove_records(self) -> None:
        """Remove what a later session of the run would need: there will be none."""
        for channel in self._channels.values():
            if channel.record is not None:
                channel.record.remove()

    def close_all(self) -> None:
        """Give everything back."""
        self.let_pipes_go(list(self._directs))
        for channel in self._channels.values():
            if channel.record is not None:
                channel.record.close()


class Pipes:
    """The pipes of one attempt in another process or an interpreter, *ours* with a function.

    *stdin* and *stdout* are what a program gets as such; *joint* is for one of ours.
    """

    def __init__(self, queues: Queues, attempt: Attempt, *, ours: bool) -> None:
        """Make them. Raises ``OSError``."""
        self._queues, self._attempt, self._ours = queues, attempt, ours
        self.stdin: int | None = None
        self.stdout: int | None = None
        self.joint: Joint | None = None
        self._inlet: Inlet | None = None
        self._outlet: Outlet | None = None
        self._ledger: Ledger | None = None
        self._spool: Spool | None = None
        self._given: list[int] = []
        try:
            self._make()
        except (OSError, MemoryError):
            self.abandon()
            raise

    def _make(self) -> None:
        attempt = self._attempt
        memory = -1
        if self._ours:
            memory = descriptors.hold(os.memfd_create("orch-queue", os.MFD_CLOEXEC))
            self._given.append(memory)
            self._ledger = Ledger(memory)
        if attempt.consume is not None:
            self.stdin = self._consume(attempt.consume)
        if attempt.publish is not None:
            self.stdout = self._publish(attempt.publish)
        if self._ours:
            self.joint = Joint(
                self._with_format(attempt.consume, self.stdin),
                self._with_format(attempt.publish, self.stdout),
                memory,
                attempt.consume is not None and self._queues.open(attempt.consume).again,
            )

    def _with_format(self, name: str | None, descriptor: int | None) -> tuple[int, str] | None:
        if name is None or descriptor is None:
            return None
        return descriptor, self._queues.plan.queues[name].format

    def _consume(self, name: str) -> int:
        queues, attempt = self._queues, self._attempt
        if queues.is_direct(name):
            return queues.direct(name).read
        channel = queues.open(name)

        def drain() -> bool:
            return self._inlet is None or self._inlet.drain()

        if channel.again and not self._ours:
            self._spool = Spool(queues.folder)

        def gone() -> None:
            queues.post(Left(attempt.task, attempt.number, queues.now()))

        def spoil(failure: Failure) -> None:
            queues.post(Spoiled(attempt.task, attempt.number, failure, queues.now()))

        self._outlet = Outlet(
            queues.poller, channel, queues.now,
            ledger=self._ledger, spool=self._spool, gone=gone, spoil=spoil, drain=drain,
        )  # fmt: skip
        self._given.append(self._outlet.given)
        return self._outlet.given

    def _publish(self, name: str) -> int:
        queues, attempt = self._queues, self._attempt
        if queues.is_direct(name):
            return queues.direct(name).write
        channel = queues.open(name)

        def spoil(failure: Failure) -> None:
            queues.post(Spoiled(attempt.task, attempt.number, failure, queues.now()))

        self._inlet = Inlet(queues.poller, channel, trusted=self._ours, spoil=spoil)
        self._given.append(self._inlet.given)
        return self._inlet.given

    def launched(self) -> None:
        """Begin to read and write, now that the process has its ends."""
        self._give_away()
        if self._attempt.consume is not None and self._queues.is_direct(self._attempt.consume):
            self._queues.direct(self._attempt.consume).reader_started()
        for end in (self._inlet, self._outlet):
            if end is not None:
                self._queues.poller.call(end.start)

    def _give_away(self) -> None:
        given, self._given = self._given, []
        for descriptor in given:
            with suppress(OSError):
                descriptors.close(descriptor)

    def abandon(self) -> None:
        """Give all back: the process was not started."""
        self._queues.forget(self._attempt)
        self._give_away()
        if self._inlet is not None:
            self._inlet.shut()
        if self._outlet is not None:
            self._outlet.shut(OPEN)
        if self._ledger is not None:
            self._ledger.close()
        if self._spool is not None:
            self._spool.close()

    def cancel(self) -> None:
        """Wake a process of ours where it waits: it is to stop. A program gets TERM, no end."""
        if self._ours:
            self._shut(OPEN)

    def close(self) -> None:
        """Nobody reads what is published."""
        if self._ours:
            self._shut(CLOSED)
        elif self._inlet is not None:
            self._queues.poller.call(self._inlet.shut)

    def _shut(self, state: int) -> None:
        inlet, outlet = self._inlet, self._outlet
        if inlet is not None:
            self._queues.poller.call(inlet.shut)
        if outlet is not None:
            self._queues.poller.call(lambda: outlet.shut(state))

    def settled(self, ended: Ended, *, killed: bool) -> Ended:
        """Return *ended* with what became of the items, now that the process is gone.

        *killed*: it was told to end, so that what it had in hand is not done.
        """
        wrong = self._inlet.finish() if self._inlet is not None else None
        if wrong is not None and ended.outcome == "ok":
            ended = ended._replace(outcome="failed", output=None, error=wrong)
        consumed = self._consumed(ok=ended.outcome == "ok" and not killed)
        return ended._replace(
            cut=self._is_cut(), unread=consumed.unread, item_failures=consumed.item_failures
        )

    def _is_cut(self) -> bool:
        """Tell whether it wrote to a plain pipe that nobody reads any more."""
        name = self._attempt.publish
        return (
            name is not None and self._queues.is_direct(name) and self._queues.direct(name).is_cut()
        )

    def _consumed(self, *, ok: bool) -> Consumed:
        """Take back what the process was given and has not used."""
        self._queues.forget(self._attempt)
        outlet = self._outlet
        if outlet is None:
            return Consumed()
        in_hand, left = outlet.finish()
        if self._spool is not None:
            if ok:
                self._queues.open(self._attempt.consume or "").done(self._spool.lines())
            else:
                self._again(outlet)
        failures = self._queues.settle(self._attempt, ok=ok, in_hand=in_hand, left=left)
        return Consumed(unread=not outlet.saw_end, item_failures=failures)

    def _again(self, outlet: Outlet) -> None:
        """Deliver all that a program was given once more: it may have read ahead."""
        attempt = self._attempt
        assert attempt.consume is not None
        channel = self._queues.open(attempt.consume)
        if not channel.again:
            return
        lines, count = outlet.spooled()
        last = self._queues.is_last(attempt)
        if last and channel.spec.dead_letter is not None:
            if self._queues.keep_aside(attempt, lines, count):
                channel.done(lines)
        elif not last:
            channel.give_back(with_failures(lines, 0), count)


class Feeder:
    """Takes items for a task that makes an attempt of each."""

    def __init__(
        self,
        task: str,
        channel: Channel,
        poller: Poller,
        post: Post,
        now: Now,
        *,
        index: int = 0,
    ) -> None:
        """Take none yet; *index* is the number of the first item."""
        self._task, self._channel, self._poller = task, channel, poller
        self._post, self._now = post, now
        self._lock = threading.Lock()
        self._wanted, self._index = 0, index
        self._done = False

    def want(self, most: int) -> None:
        """Take up to *most* more."""
        with self._lock:
            self._wanted += most
        self._look()

    def stop(self) -> None:
        """Take no more."""
        with self._lock:
            self._done = True
        self._channel.withdraw(self)

    def wake(self) -> None:
        """Come back: there are items."""
        self._poller.call(self._look)

    def _look(self) -> None:
        with self._lock:
            while self._wanted and not self._done:
                try:
                    found = self._channel.get(self)
                except EOFError:
                    self._done = True
                    self._post(Drained(self._task, self._index, self._now()))
                    return
                if found is None:
                    return
                self._wanted -= 1
                item = found[0].decode("utf-8", "surrogateescape")
                if self._channel.spec.format == "text":
                    item = json.dumps(item)
                self._post(Arrived(self._task, self._index, item, self._now()))
                self._index += 1
