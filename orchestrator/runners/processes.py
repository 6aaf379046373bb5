"""Mode ``process``: the same function as on a thread, in a process of its own.

Call and result go through a letter, items of queues through pipes.
"""

from __future__ import annotations

import os
import sys
from time import monotonic

from orchestrator import meter
from orchestrator.events import Ended, Failure, Postponed
from orchestrator.runners import child
from orchestrator.runners.children import LaunchError, launch
from orchestrator.runners.letters import answer_in, letter_to
from orchestrator.runners.programs import exit_failure
from orchestrator.runners.shortage import shortage

TYPE_CHECKING = False
if TYPE_CHECKING:  # few jobs have queues
    from orchestrator.events import Attempt, Cost
    from orchestrator.queues.registry import Pipes, Queues
    from orchestrator.runners import Now, Post
    from orchestrator.runners.children import Child, Exit, Watcher
    from orchestrator.runners.letters import Answer
    from orchestrator.warm.client import Server, Warm


class ProcessRunner:
    """Runs attempts of mode ``process``."""

    def __init__(
        self,
        root: str,
        post: Post,
        now: Now,
        watcher: Watcher,
        queues: Queues | None = None,
        warm: Warm | None = None,
    ) -> None:
        self._warm = warm
        self._root, self._post, self._now, self._watcher = root, post, now, watcher
        self._queues = queues
        self._pipes: dict[tuple[str, int], Pipes] = {}
        self._children: dict[tuple[str, int], Child] = {}
        self._killed: set[tuple[str, int]] = set()

    def start(self, attempt: Attempt) -> None:
        """Start a Python that calls the function of *attempt*, or have one forked that does."""
        launched = monotonic()
        if self._warm is None:
            self._begin(attempt, None, launched)
        else:
            self._warm.start(attempt, lambda a, server: self._begin(a, server, launched))

    def _begin(self, attempt: Attempt, server: Server | None, launched: float) -> None:
        key = (attempt.task, attempt.number)
        letter = -1
        pipes = None
        try:
            self._watcher.begin()
            if self._queues is not None:
                pipes = self._queues.pipes(attempt, ours=True)
            joint = pipes.joint if pipes is not None else None
            letter, carried = letter_to(attempt, self._root, joint, launched)
            argv = [sys.executable, "-P", child.__file__, str(letter)]
            given = joint.descriptors if joint is not None else ()
            process = launch(attempt, argv, (letter, *given), server=server)
        except (LaunchError, OSError, RuntimeError, MemoryError) as error:
            if letter >= 0:
                os.close(letter)
            if pipes is not None:
                pipes.abandon()
            if (reason := shortage(error)) is not None:
                self._post(Postponed(*key, reason, self._now()))
                return
            failure = Failure("LaunchError", str(error))
            self._post(Ended(*key, "launch_failed", self._now(), error=failure))
            return
        self._children[key] = process
        if pipes is not None:
            self._pipes[key] = pipes
            pipes.launched()
        self._watcher.watch(
            process, lambda status: self._exited(attempt, process, status, letter, carried)
        )

    def _exited(
        self, attempt: Attempt, process: Child, status: Exit, letter: int, carried: int
    ) -> None:
        key = (attempt.task, attempt.number)
        self._children.pop(key, None)
        answer = answer_in(letter)
        outcome, output, failure = answer.outcome, answer.output, answer.failure
        if outcome is None:
            outcome = "failed"
            failure = exit_failure(status, attempt, killed=key in self._killed) or Failure(
                "ExitStatus", f"the process left with exit status {status.status} and no result"
            )
        ended = Ended(*key, outcome, self._now(), status.status, status.signal, output, failure)
        cost = _cost(answer, process, status)._replace(arguments_bytes=carried)
        ended = ended._replace(cost=cost)
        pipes = self._pipes.pop(key, None)
        if pipes is not None:
            ended = pipes.settled(ended, killed=key in self._killed)
        self._post(ended)

    def stop(self, task: str, number: int, *, force: bool) -> None:
        """Send TERM to the group of the attempt; with *force* KILL."""
        if self._warm is not None and self._warm.stop(task, number):
            return
        process = self._children.get((task, number))
        if process is not None:
            self._killed.add((task, number))
            pipes = self._pipes.get((task, number))
            if pipes is not None:
                pipes.cancel()
            process.kill(force=force)

    def close(self, grace_s: float) -> None:
        """Kill what is left."""
        del grace_s  # the scheduler has given it already
        for process in list(self._children.values()):
            process.kill(force=True)


def _cost(answer: Answer, process: Child, status: Exit) -> Cost:
    """Return what the function took, as far as that is known, with the peak of its process."""
    whole = meter.of_program(process.wall_s, status.usage, forked=process.is_warm)
    cost = answer.cost or meter.of_cut_off(answer.begun, process.begun + process.wall_s, whole)
    return cost._replace(peak_memory_bytes=whole.peak_memory_bytes)
