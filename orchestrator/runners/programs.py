"""Mode ``subprocess``: separate programs."""

from __future__ import annotations

import os
import stat
from contextlib import suppress

from orchestrator import jsonio, meter
from orchestrator.events import Ended, Failure, Postponed
from orchestrator.functions import failure_of
from orchestrator.runners.children import (
    LOOK_S,
    LaunchError,
    launch,
    signal_name,
)
from orchestrator.runners.shortage import shortage

TYPE_CHECKING = False
if TYPE_CHECKING:  # few jobs have queues
    from orchestrator.events import Attempt, Outcome
    from orchestrator.queues.registry import Pipes, Queues
    from orchestrator.runners import Now, Post
    from orchestrator.runners.children import (
        Child,
        Exit,
        Watcher,
    )
    from orchestrator.warm.client import Server, Warm

# How often an output is looked for that cannot be opened for want of a descriptor.
_MOST_LOOKS = 600


class ProgramRunner:
    """Runs attempts of mode ``subprocess``."""

    def __init__(
        self,
        post: Post,
        now: Now,
        watcher: Watcher,
        queues: Queues | None = None,
        warm: Warm | None = None,
    ) -> None:
        self._warm = warm
        self._post, self._now, self._watcher, self._queues = post, now, watcher, queues
        self._pipes: dict[tuple[str, int], Pipes] = {}
        self._children: dict[tuple[str, int], Child] = {}
        self._killed: set[tuple[str, int]] = set()

    def start(self, attempt: Attempt) -> None:
        """Start the program of *attempt*, or have it forked as soon as that can be."""
        if self._warm is None or attempt.start == "cold":
            self._begin(attempt, None)
        else:
            self._warm.start(attempt, self._begin)

    def _begin(self, attempt: Attempt, server: Server | None) -> None:
        key = (attempt.task, attempt.number)
        pipes = None
        try:
            self._watcher.begin()
            if self._queues is not None:
                pipes = self._queues.pipes(attempt, ours=False)
            stdin, stdout = (None, None) if pipes is None else (pipes.stdin, pipes.stdout)
            child = launch(attempt, attempt.argv, stdin=stdin, stdout=stdout, server=server)
        except (LaunchError, OSError, RuntimeError, MemoryError) as error:
            if pipes is not None:
                pipes.abandon()
            if (reason := shortage(error)) is not None:
                self._post(Postponed(*key, reason, self._now()))
                return
            failure = Failure("LaunchError", str(error))
            status = error.exit_status if isinstance(error, LaunchError) else 126
            self._post(Ended(*key, "launch_failed", self._now(), status, error=failure))
            return
        self._children[key] = child
        if pipes is not None:
            self._pipes[key] = pipes
            pipes.launched()
        self._watcher.watch(child, lambda status: self._exited(attempt, child, status))

    def _exited(self, attempt: Attempt, child: Child, status: Exit, looks: int = 1) -> None:
        key = (attempt.task, attempt.number)
        self._children.pop(key, None)
        failure = exit_failure(status, attempt, killed=key in self._killed)
        output = None
        try:
            if failure is None:
                output = read_output(attempt)
        except (jsonio.OutputError, OSError) as error:
            if shortage(error) is not None and looks < _MOST_LOOKS:
                # what is just being started has the descriptors
                self._watcher.later(LOOK_S, lambda: self._exited(attempt, child, status, looks + 1))
                return
            failure = Failure("OutputError", str(error))
        except Exception as error:  # noqa: BLE001 - whatever it is, the attempt has an end
            failure = failure_of(error)
        with suppress(OSError):
            os.unlink(attempt.output_path)  # a directory is left to be looked at
        outcome: Outcome = "ok" if failure is None else "failed"
        cost = meter.of_program(child.wall_s, status.usage, forked=child.is_warm)
        ended = Ended(*key, outcome, self._now(), status.status, status.signal, output, failure)
        carried = sum(len(os.fsencode(argument)) + 1 for argument in attempt.argv)
        ended = ended._replace(cost=cost._replace(arguments_bytes=carried))
        pipes = self._pipes.pop(key, None)
        if pipes is not None:
            ended = pipes.settled(ended, killed=key in self._killed)
        self._post(ended)

    def stop(self, task: str, number: int, *, force: bool) -> None:
        """Send TERM to the group of the attempt; with *force* KILL."""
        if self._warm is not None and self._warm.stop(task, number):
            return
        child = self._children.get((task, number))
        if child is not None:
            self._killed.add((task, number))
            child.kill(force=force)

    def close(self, grace_s: float) -> None:
        """Kill what is left."""
        del grace_s  # the scheduler has given it already
        for child in list(self._children.values()):
            child.kill(force=True)


def exit_failure(status: Exit, attempt: Attempt, *, killed: bool) -> Failure | None:
    """Return why a process that ended with *status* failed; None where it did not."""
    if status.signal is not None:
        message = f"killed by {signal_name(status.signal)}"
        if status.signal == 9 and not killed:  # noqa: PLR2004 - SIGKILL
            message += ", not by orch; out of memory?"
        return Failure("Signal", message)
    if status.status is None:
        return Failure("Signal", "its exit status was lost: something else waited for it")
    if status.status in attempt.ok_exit_codes:
        return None
    return Failure("ExitStatus", f"exit status {status.status}")


def read_output(attempt: Attempt) -> str | None:
    """Return the output of a program that succeeded, as JSON text.

    Raises ``OutputError`` where it is not what was promised.
    """
    if attempt.output_from == "file":
        try:
            data = _read(attempt.output_path)
        except FileNotFoundError:
            return "null"
        if not data.strip():
            return "null"
    else:
        data = _read(attempt.stdout)
    if attempt.output_from == "stdout":
        try:
            return jsonio.dumps(data.decode().rstrip("\n"))
        except UnicodeDecodeError as error:
            raise jsonio.OutputError(f"stdout is not UTF-8: {error}") from None
    return jsonio.dumps(jsonio.loads(data))


def _read(path: str) -> bytes:
    """Return the content of the file at *path*; a program may have put anything there."""
    try:
        # not blocking: a pipe there would hold up everything
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise
    except OSError as error:
        if shortage(error) is not None:
            raise
        raise jsonio.OutputError(f"its output cannot be read: {error.strerror}") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise jsonio.OutputError("its output is not a regular file")
    with open(descriptor, "rb") as file:
        data = file.read(jsonio.MAX_BYTES + 1)
    if len(data) > jsonio.MAX_BYTES:
        raise jsonio.OutputError(f"output is larger than {jsonio.MAX_BYTES} bytes")
    return data
