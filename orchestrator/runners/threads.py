"""Mode ``thread``: functions on daemon threads of our own.

Not a ``ThreadPoolExecutor``: the interpreter waits for its threads at exit, so that one stuck task
would keep orch from ending. A thread cannot be killed: when it does not stop within its grace it is
given up, named with the line it stands at, and replaced by another.
"""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from contextlib import suppress
from contextvars import Context, copy_context
from time import monotonic

from orchestrator import functions
from orchestrator.current import ThreadAttempt, attempt_of_context
from orchestrator.events import Broken, Ended, Failure, Noted, Postponed, Returned
from orchestrator.lean import queue
from orchestrator.meter import Meter, meter_of_context
from orchestrator.runners.folders import FolderError, enter_own_folder
from orchestrator.runners.shortage import shortage, told
from orchestrator.streams import Capture, capture_of_context, threads_of_tasks
from orchestrator.surroundings import Surroundings

TYPE_CHECKING = False
if TYPE_CHECKING:  # few jobs have queues
    from collections.abc import Callable
    from typing import Any

    from orchestrator.events import Attempt, Cost
    from orchestrator.inbox import Inbox
    from orchestrator.queues.registry import Queues
    from orchestrator.queues.threads import ThreadEnds
    from orchestrator.runners import Now, Post

    Scene = tuple[set["_Work"], bool]

# With two threads or more that want the GIL, one that waits for a socket or a pipe pays up to one
# interval a wake-up; at 1 ms the loops lose 2 % and the waiting ones win threefold.
SWITCH_INTERVAL_S = 0.001
_SIMPLY = (False, False, False, False, None)  # the rest of an end
# A function that takes less is not worth the switch to a thread of its own.
QUICK_S = 0.0002


class _Work:
    """An attempt on its way through a thread."""

    __slots__ = ("attempt", "current", "ends", "given_up", "launched", "lock", "meter", "thread")

    def __init__(self, attempt: Attempt, current: ThreadAttempt, ends: ThreadEnds | None) -> None:
        self.attempt, self.current, self.ends = attempt, current, ends
        self.launched = monotonic()
        self.meter: Meter | None = None
        self.thread: threading.Thread | None = None
        self.given_up = False
        self.lock = threading.Lock()  # between its end and its being given up


class ThreadRunner:
    """Runs attempts of mode ``thread``."""

    def __init__(
        self,
        run_id: str,
        post: Post,
        now: Now,
        queues: Queues | None = None,
        *,
        surroundings: Surroundings | None = None,
    ) -> None:
        self._run_id, self._post, self._now = run_id, post, now
        self._queues = queues
        self._leave: Callable[[Any], None] = post
        self._settle: Callable[[], None] = _nothing
        self._inbox: Inbox | None = None
        self._waiting: deque[_Work] = deque()
        self._wake: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._works: dict[tuple[str, int], _Work] = {}
        self._apart: set[_Work] = set()  # of those, on threads of their own
        self._given_up: set[_Work] = set()  # and not yet returned
        self._surroundings = surroundings or Surroundings()
        self._surroundings.under_way.append(self._runs_beside)
        self._threads = 0
        self._quick = True  # so was the last attempt
        self.begun = 0
        """How many attempts were begun, roughly."""
        self.is_watched = False
        """Whether the loop looks now and then if attempts wait for a thread that is busy."""
        self._pid = os.getpid()
        self._interval_s = sys.getswitchinterval()

    def engage(self, inbox: Inbox, settle: Callable[[], None]) -> None:
        """Leave ends in *inbox* and call *settle* once no attempt is left that would take no time.

        From here on nothing waits for a thread without ``wake``.
        """
        self._leave, self._settle, self._inbox = inbox.leave, settle, inbox

    def start(self, attempt: Attempt) -> None:
        """Hand *attempt* to a thread that is free, or to a new one."""
        key = (attempt.task, attempt.number)
        ends = self._queues.ends(attempt) if self._queues is not None else None
        work = _Work(attempt, ThreadAttempt(*key, self._run_id, self._note), ends)
        self._works[key] = work
        busy = len(self._works)
        if busy <= 2:  # noqa: PLR2004 - from two on they take turns
            alone_s = self._interval_s
            alone = busy == 1 and ends is None
            sys.setswitchinterval(alone_s if alone else min(SWITCH_INTERVAL_S, alone_s))
        if attempt.cwd is not None:
            self._apart.add(work)
            try:
                self._spawn(self._run_apart, work)
            except (RuntimeError, MemoryError) as error:
                self._failed_to_start(work, error)
            return
        self._waiting.append(work)
        if self._inbox is None:
            self._wake_some(1)

    def wake(self, *, here: bool) -> None:
        """See to it that what was started is begun; *here* is a thread that begins one itself.

        For attempts that take no time one thread is woken, and works them off without a switch for
        each; the loop watches it, and wakes more where one of them takes longer.
        """
        if not self._quick:
            self._wake_some(len(self._waiting) - here, here=here)
        elif not here and self._waiting:
            self.is_watched = True
            self._wake_some(1)

    def wake_all(self) -> bool:
        """Wake a thread for each attempt that waits; tell whether there are any."""
        return self._wake_some(len(self._waiting))

    def _wake_some(self, count: int, *, here: bool = False) -> bool:
        """Wake *count* threads, new ones where too few are idle; tell whether that is any."""
        if count <= 0:
            return False
        busy = len(self._works) - len(self._apart) - len(self._waiting)
        idle = max(0, self._threads - busy - here)
        for _ in range(min(count, idle)):
            self._wake.put(True)
        for _ in range(count - idle):
            try:
                self._spawn(self._work_off)
                self._threads += 1
            except (RuntimeError, MemoryError) as error:
                with suppress(IndexError):  # all were taken in the meantime
                    self._failed_to_start(self._waiting.pop(), error)
        return True

    def has_news(self) -> bool:
        """Tell whether attempts wait for a thread, or ends for somebody to look at them."""
        return bool(self._waiting or self._inbox)

    @property
    def is_busy(self) -> bool:
        """Whether an attempt is under way."""
        return bool(self._works)

    def scene(self) -> Scene:
        """Return the attempts that are being run, and whether one is alone with the GIL.

        It is not while a thread lives that was given up, or that another function has left behind.
        """
        works = {work for work in list(self._works.values()) if work.thread is not None}
        if len(works) != 1 or self._given_up:
            return works, False
        (work,) = works
        others = (
            other is not None and other.run_id == self._run_id and other is not work.current
            for other in list(threads_of_tasks.values())
        )
        return works, not any(others)

    def sampled(self, late_s: float, span_s: float, before: Scene) -> None:
        """Take note of how long the loop has waited for the GIL, after it had slept *span_s*.

        *before* is what the scene was then. Who came, went or was left alone meanwhile is not
        told of: another may have held it.
        """
        works, alone = self.scene()
        if alone is not before[1]:
            return
        for work in works & before[0]:
            if work.meter is not None:
                work.meter.sampled(late_s, span_s, alone=alone)

    def _note(self, name: str, number: int, kind: Any, data: dict[str, Any]) -> None:
        self._post(Noted(name, number, kind, data, self._now()))

    def _spawn(self, target: Any, *args: Any) -> None:
        # an empty context: what the caller's holds is not the tasks'
        thread = threading.Thread(target=Context().run, args=(target, *args), daemon=True)
        thread.name = "orch-task"
        thread.start()

    def _failed_to_start(self, work: _Work, error: Exception) -> None:
        reason = shortage(error)
        if reason is not None:
            self._postpone(work, reason)
            return
        failure = Failure("LaunchError", f"no thread to be had: {error}")
        self._finish(work, ("launch_failed", None, failure))

    def _postpone(self, work: _Work, reason: str) -> None:
        """Say that *work* was not begun, also where it waits for those that others have to fill."""
        attempt = work.attempt
        self._works.pop((attempt.task, attempt.number), None)
        self._apart.discard(work)
        if work.ends is not None:
            assert self._queues is not None
            self._queues.let_go(attempt, work.ends, ok=False)
        self._post(Postponed(attempt.task, attempt.number, reason, self._now()))

    def _work_off(self) -> None:
        """Run attempts one after the other; end when told to, or when given up in the meantime."""
        left = False  # an end that nobody has looked at
        while True:
            try:
                work = self._waiting.popleft()
            except IndexError:
                if left:
                    left = False
                    self._settle()
                elif not self._wake.get():
                    return
                continue
            if not self.is_watched and self._inbox is not None and (left or self._waiting):
                self.is_watched = True
                self._inbox.call()
            self.begun += 1
            self._run_safely(work)
            if work.given_up:
                return  # another thread took its place
            left = self._quick
            if not left:
                self._settle()

    def _run_apart(self, work: _Work) -> None:
        """Run one attempt on a thread with a working directory of its own."""
        attempt = work.attempt
        assert attempt.cwd is not None
        try:
            enter_own_folder(attempt.cwd)
        except FolderError as error:
            failure = Failure("LaunchError", str(error))
            self._finish(work, ("launch_failed", None, failure))
            return
        self._run_safely(work)

    def _run_safely(self, work: _Work) -> None:
        """Run *work*; an error of orch itself ends the run, or it would wait for ever."""
        try:
            self._run(work)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told
            self._post(Broken(error, self._now()))

    def _run(self, work: _Work) -> None:
        attempt = work.attempt
        work.thread = threading.current_thread()
        capture = Capture(attempt.stdout, attempt.stderr)
        meter = work.meter = Meter(work.launched)
        result = copy_context().run(_call, work, capture)
        cost = meter.cost()
        if os.getpid() != self._pid:
            os._exit(0)  # the function forked, and came back twice: this is not orch
        if not self._surroundings.are_kept(own_folder=attempt.cwd is not None):
            self._put_right(work)  # before its end is told: the next task may start then
        try:
            capture.close()
        except OSError as error:
            result = ("failed", None, Failure("OSError", f"cannot write its output: {error}"))
        self._quick = cost is not None and cost.wall_s < QUICK_S
        self._finish(work, result, cost, self._post if attempt.cwd is not None else self._leave)

    def _put_right(self, work: _Work) -> None:
        """Put back what the attempt changed of what all threads share, and warn of it."""
        attempt = work.attempt
        changes = self._surroundings.put_back(own_folder=attempt.cwd is not None)
        if changes:
            data = self._surroundings.warning(work, changes)
            self._note(attempt.task, attempt.number, "log", data)

    def _runs_beside(self, work: object) -> bool:
        """Tell whether another attempt than *work* is under way, or was given up and still is."""
        return bool(self._given_up - {work}) or any(
            other is not work and other.thread is not None for other in list(self._works.values())
        )

    def _finish(
        self,
        work: _Work,
        result: functions.Result,
        cost: Cost | None = None,
        say: Callable[[Any], None] | None = None,
    ) -> None:
        """Say how *work* has ended; without *say* the loop is to hear it at once."""
        attempt = work.attempt
        with work.lock:
            work.thread = None
            given_up = work.given_up
        now = self._now()
        self._works.pop((attempt.task, attempt.number), None)
        self._apart.discard(work)
        if given_up:
            self._given_up.discard(work)
            self._post(Returned(attempt.task, attempt.number, now))
            return
        outcome, output, error = result
        if outcome == "launch_failed" and (reason := told(error)) is not None:
            for path in (attempt.stdout, attempt.stderr):
                with suppress(OSError):
                    os.unlink(path)  # the next start makes it again
            self._postpone(work, reason)
            return
        ended = Ended._make(
            (attempt.task, attempt.number, outcome, now, None, None, output, error, *_SIMPLY, cost)
        )
        if work.ends is not None:
            ended = self._let_go(work, ended)
        (say or self._post)(ended)

    def _let_go(self, work: _Work, ended: Ended) -> Ended:
        """Take back what the attempt had in hand of the queue that it consumes."""
        assert self._queues is not None
        assert work.ends is not None
        ok = ended.outcome == "ok" and not work.current.token
        consumed = self._queues.let_go(work.attempt, work.ends, ok=ok)
        return ended._replace(unread=consumed.unread, item_failures=consumed.item_failures)

    def stop(self, task: str, number: int, *, force: bool) -> None:
        """Set the attempt's token; with *force* give its thread up."""
        work = self._works.get((task, number))
        if work is None:
            return
        work.current.token = True
        if work.ends is not None:
            work.ends.cancel()
        if not force:
            return
        if self._taken_back(work):
            failure = Failure("Stopped", "no thread had taken it yet")
            self._finish(work, ("failed", None, failure))
            return
        thread = work.thread
        where = stack_of(thread) if thread is not None else None
        failure = Failure("Timeout", "the thread did not stop and was given up", where)
        with work.lock:
            if work.thread is None or work.given_up:
                return  # it has just ended, or has not begun; its end is on the way
            work.given_up = True
            self._given_up.add(work)
            ended = Ended(task, number, "timed_out", self._now(), error=failure, left_running=True)
            if work.ends is not None:
                ended = self._let_go(work, ended)
            self._post(ended)  # inside the lock: its return, should it come now, is told after this
        self._works.pop((task, number), None)
        self._apart.discard(work)
        if work.attempt.cwd is None:
            self._threads -= 1

    def _taken_back(self, work: _Work) -> bool:
        """Take *work* out of what waits for a thread; tell whether it was there."""
        try:
            self._waiting.remove(work)
        except ValueError:
            return False
        return True

    def close(self, grace_s: float) -> None:
        """Set every token and let the threads that wait end; the rest end with the process."""
        del grace_s  # nothing can be done to a thread that does not look at its token
        for work in list(self._works.values()):
            work.current.token = True
            if work.ends is not None:
                work.ends.cancel()
        for _ in range(self._threads):
            self._wake.put(False)
        sys.setswitchinterval(self._interval_s)


def _nothing() -> None:
    """Settle nothing: each end was posted."""


def _call(work: _Work, capture: Capture) -> functions.Result:
    """Call the function as the task; in a context of its own."""
    attempt_of_context.set(work.current)
    capture_of_context.set(capture)
    attempt = work.attempt
    assert attempt.function is not None
    assert work.meter is not None
    meter_of_context.set(work.meter)
    result = functions.call(
        attempt.function, attempt.args, attempt.kwargs, work.ends, work.meter.begins
    )
    failure = result[2]
    if failure is not None and failure.traceback:
        try:
            capture.err.write(failure.traceback.encode("utf-8", "backslashreplace"))
        except OSError:
            pass  # the failure itself is told
    return result


def stack_of(thread: threading.Thread) -> str | None:
    """Return the stack of *thread* as a traceback, without the frames of orch."""
    import traceback  # noqa: PLC0415 - for threads that are given up

    frame = sys._current_frames().get(thread.ident or 0)  # noqa: SLF001 - the documented way
    if frame is None:
        return None
    ours = (__name__, functions.__name__, "orchestrator.queues.threads", "threading")
    frames = [found for found, _ in traceback.walk_stack(frame)][::-1]
    lines = [
        line
        for found, line in zip(frames, traceback.extract_stack(frame), strict=False)
        if found.f_globals.get("__name__") not in ours
    ]
    return "".join(traceback.format_list(lines)) or None
