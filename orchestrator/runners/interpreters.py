"""Mode ``interpreter``: a function in an interpreter of its own, with a GIL of its own.

Python 3.14 and later (PEP 734). Each attempt has a thread and a new interpreter on it, which ends
with it, so that no task finds modules or globals that another has left. Environment and locale are
those of the process: what an attempt changes of them others see until it ends, when it is put back.
Call and result go through a letter, items of queues through pipes, as with a process: the function
runs by the same code. As with a thread nothing can be killed: what does not stop within its grace
is given up.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from contextvars import Context
from time import monotonic

from orchestrator import descriptors
from orchestrator.events import Ended, Failure, Noted, Postponed, Returned
from orchestrator.places import open_output
from orchestrator.runners.folders import FolderError, enter_own_folder, unshare_folder
from orchestrator.runners.letters import Answer, answer_in, letter_to
from orchestrator.runners.shortage import shortage, told
from orchestrator.surroundings import Surroundings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from orchestrator.events import Attempt, Outcome
    from orchestrator.queues.child import Joint
    from orchestrator.queues.registry import Pipes, Queues
    from orchestrator.runners import Now, Post
    from orchestrator.runners.children import Watcher

_NOT_THERE = "does not support loading in subinterpreters"
# What is imported there is this orch: the new interpreter's path may have another one, or none.
_FOLDER = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_CODE = """
import sys
sys.path.insert(0, folder)
try:
    from orchestrator.runners import inside
finally:
    sys.path.remove(folder)
inside.main(letter, out, err, token, said, environment)
"""


class _Work:
    """An attempt under way, and what it holds.

    *token* says to it whether it is to stop, and it says there whether its function was called.
    """

    __slots__ = ("attempt", "carried", "given_up", "joint", "letter", "pipes", "streams", "token")

    def __init__(self, attempt: Attempt) -> None:
        self.attempt = attempt
        self.letter = -1
        self.carried = 0
        self.streams: list[int] = []
        self.joint: list[int] = []
        self.pipes: Pipes | None = None
        self.token = bytearray(2)
        self.given_up = False

    def take_ends(self, joint: Joint) -> Joint:
        """Take descriptors of its own for the ends of queues, and return them.

        Those of *joint* are closed once the attempt has begun.
        """
        copies = {}
        for descriptor in joint.descriptors:
            copies[descriptor] = descriptors.hold(os.dup(descriptor))
            self.joint.append(copies[descriptor])
        consume, publish = joint.consume, joint.publish
        return joint._replace(
            consume=consume and (copies[consume[0]], consume[1]),
            publish=publish and (copies[publish[0]], publish[1]),
            ledger=copies[joint.ledger],
        )

    def give_back(self) -> None:
        """Close what its function has used."""
        for descriptor in self.joint:
            with suppress(OSError):
                descriptors.close(descriptor)
        for descriptor in self.streams:
            with suppress(OSError):
                os.close(descriptor)
        self.streams, self.joint = [], []


class InterpreterRunner:
    """Runs attempts of mode ``interpreter``.

    Ends are told on the thread of the *watcher*'s poller, where all that the task said before was
    heard. *socket* is where it listens.
    """

    def __init__(  # noqa: PLR0913 - what it asks of others
        self,
        root: str,
        run_id: str,
        socket: str,
        post: Post,
        now: Now,
        watcher: Watcher,
        queues: Queues | None = None,
        *,
        surroundings: Surroundings | None = None,
    ) -> None:
        self._root, self._run_id, self._socket = root, run_id, socket
        self._post, self._now, self._watcher, self._queues = post, now, watcher, queues
        self._works: dict[tuple[str, int], _Work] = {}
        self._inside: set[_Work] = set()  # those with a thread, and given up perhaps
        self._surroundings = surroundings or Surroundings()
        self._surroundings.under_way.append(lambda work: bool(self._inside - {work}))
        self._environment = tuple(os.environb.items())

    def start(self, attempt: Attempt) -> None:
        """Have a new thread make an interpreter and call the function of *attempt* in it."""
        key = (attempt.task, attempt.number)
        work = self._works[key] = _Work(attempt)
        try:
            self._watcher.begin()
            self._prepare(work)
            # an empty context: what the caller's holds is not the task's
            thread = threading.Thread(target=Context().run, args=(self._run, work), daemon=True)
            thread.name = "orch-interpreter"
            thread.start()
        except (OSError, RuntimeError, MemoryError) as error:
            del self._works[key]
            self._failed_to_start(work, error)

    def _prepare(self, work: _Work) -> None:
        """Make its files, its ends of queues and its letter. Raises ``OSError``."""
        attempt = work.attempt
        for path in (attempt.stdout, attempt.stderr):
            work.streams.append(open_output(path))
        joint = None
        if self._queues is not None:
            work.pipes = self._queues.pipes(attempt, ours=True)
            if work.pipes is not None and work.pipes.joint is not None:
                joint = work.take_ends(work.pipes.joint)
        work.letter, work.carried = letter_to(attempt, self._root, joint, monotonic())

    def _failed_to_start(self, work: _Work, error: Exception) -> None:
        attempt = work.attempt
        key = (attempt.task, attempt.number)
        made = len(work.streams)
        work.give_back()
        if work.letter >= 0:
            os.close(work.letter)
        if work.pipes is not None:
            work.pipes.abandon()
        reason = shortage(error)
        if reason is None:
            failure = Failure("LaunchError", f"no interpreter to be had: {error}")
            self._post(Ended(*key, "launch_failed", self._now(), error=failure))
            return
        self._postpone(attempt, reason, made)

    def _postpone(self, attempt: Attempt, reason: str, made: int = 2) -> None:
        """Say that *attempt* is to be started again; so many output files of it were *made*."""
        for path in (attempt.stdout, attempt.stderr)[:made]:
            with suppress(OSError):
                os.unlink(path)  # the next start makes it again
        self._post(Postponed(attempt.task, attempt.number, reason, self._now()))

    def _run(self, work: _Work) -> None:
        """Call the function in an interpreter; tell its end, whatever goes wrong."""
        answer, wrong = Answer(), None
        try:
            self._inside.add(work)
            try:
                if work.pipes is not None:
                    work.pipes.launched()
                own_folder = self._enter_folder(work.attempt.cwd)
                try:
                    self._call(work)
                finally:
                    self._put_right(work, own_folder=own_folder)
            finally:
                self._inside.discard(work)
                answer = answer_in(work.letter)
        except BaseException as error:  # noqa: BLE001 - of orch or of Python itself: it is told
            wrong = error
        self._watcher.after_heard(lambda: self._ended(work, answer, wrong))

    def _enter_folder(self, folder: str | None) -> bool:
        """Give the thread a directory of its own, so that what it changes is not all others'.

        Tell whether that is allowed here.
        """
        if folder is not None:
            enter_own_folder(folder)
            return True
        try:
            unshare_folder()
        except OSError:
            return False
        return True

    def _put_right(self, work: _Work, *, own_folder: bool) -> None:
        """Put back what is changed of what interpreters share, and warn of it."""
        attempt = work.attempt
        changes = self._surroundings.put_back_outside(own_folder=own_folder)
        if changes:
            data = self._surroundings.warning(work, changes)
            self._post(Noted(attempt.task, attempt.number, "log", data, self._now()))

    def _call(self, work: _Work) -> None:
        from concurrent import interpreters  # type: ignore[attr-defined] # noqa: PLC0415 - 3.14

        attempt = work.attempt
        interpreter: Any = interpreters.create()
        try:
            interpreter.prepare_main(
                folder=_FOLDER,
                letter=work.letter,
                out=work.streams[0],
                err=work.streams[1],
                token=memoryview(work.token),
                environment=self._environment,
                said=(attempt.task, attempt.number, self._run_id, self._socket),
            )
            interpreter.exec(_CODE)
        finally:
            interpreter.close()

    def _ended(self, work: _Work, answer: Answer, wrong: BaseException | None) -> None:
        attempt = work.attempt
        key = (attempt.task, attempt.number)
        if work.given_up:
            work.give_back()
            self._post(Returned(*key, self._now()))
            return
        del self._works[key]
        outcome, output, error, cost, _ = answer
        if outcome is None:
            outcome, error = _without_answer(wrong, called=bool(work.token[1]))
        if outcome == "launch_failed" and (reason := _lacked(wrong) or told(error)) is not None:
            self._settled(work, Ended(*key, outcome, self._now()))
            work.give_back()
            self._postpone(attempt, reason)
            return
        if error is not None and error.type == "ImportError" and _NOT_THERE in error.message:
            error = error._replace(message=f"{error.message}; `thread` and `process` can")
        ended = Ended(*key, outcome, self._now(), output=output, error=error)
        if cost is not None:
            ended = ended._replace(cost=cost._replace(arguments_bytes=work.carried))
        ended = self._settled(work, ended)
        work.give_back()
        self._post(ended)

    def _settled(self, work: _Work, ended: Ended) -> Ended:
        """Return *ended* with what became of the items.

        While its own descriptors are open: of a pipe that they close first it would be told that
        its consumer has left, also of one that is to start again.
        """
        if work.pipes is None:
            return ended
        return work.pipes.settled(ended, killed=bool(work.token[0]))

    def stop(self, task: str, number: int, *, force: bool) -> None:
        """Set the attempt's token; with *force* give its interpreter up."""
        work = self._works.get((task, number))
        if work is None:
            return
        work.token[0] = True
        if work.pipes is not None:
            work.pipes.cancel()
        if force:
            self._watcher.after_heard(lambda: self._give_up(work))

    def _give_up(self, work: _Work) -> None:
        attempt = work.attempt
        key = (attempt.task, attempt.number)
        if self._works.get(key) is not work:
            return  # it has just ended, or was postponed and has started again
        del self._works[key]
        work.given_up = True
        failure = Failure("Timeout", "the interpreter did not stop and was given up")
        ended = Ended(*key, "timed_out", self._now(), error=failure, left_running=True)
        self._post(self._settled(work, ended))

    def close(self, grace_s: float) -> None:
        """Set every token; what does not look at it ends with this process."""
        del grace_s  # nothing can be done to an interpreter that does not look at its token
        for work in list(self._works.values()):
            work.token[0] = True
            if work.pipes is not None:
                work.pipes.cancel()


def _without_answer(wrong: BaseException | None, *, called: bool) -> tuple[Outcome, Failure]:
    """Return how an attempt went that left no result; *called*: its function was."""
    if isinstance(wrong, FolderError):
        return "launch_failed", Failure("LaunchError", str(wrong))
    said = ""
    if wrong is not None:
        name, message = _raised(wrong)
        said = f": {name}: {message}"
    if called:
        return "failed", Failure("NoResult", f"the interpreter left no result{said}")
    return "launch_failed", Failure("LaunchError", f"no interpreter to be had{said}")


def _lacked(wrong: BaseException | None) -> str | None:
    """Return what the system had no more of when an interpreter was made, or began."""
    if wrong is None:
        return None
    name, message = _raised(wrong)
    if name == MemoryError.__name__:
        return shortage(MemoryError())
    return shortage(wrong) or told(Failure(name, message))


def _raised(wrong: BaseException) -> tuple[str, str]:
    """Return the type and the text of what was raised, also where that was in the interpreter."""
    found = getattr(wrong, "excinfo", None)
    if found is None:
        return type(wrong).__name__, str(wrong)
    return found.type.__name__, found.msg or ""
