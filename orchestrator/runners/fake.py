"""A runner that runs nothing: for tests of what stands above it, ours and others'."""

from __future__ import annotations

from collections.abc import Callable

from orchestrator.events import Attempt, Ended, Failure, Postponed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from orchestrator.runners import Now, Post

Script = Callable[[Attempt], Ended | Postponed | None]


class FakeRunner:
    """Ends each attempt at once, as *script* says; None leaves it running until it is stopped."""

    def __init__(self, post: Post, now: Now, script: Script | None = None) -> None:
        self._post, self._now = post, now
        self._script = script or self._ok
        self.started: list[Attempt] = []
        self.running: dict[tuple[str, int], Attempt] = {}

    def _ok(self, attempt: Attempt) -> Ended:
        return Ended(attempt.task, attempt.number, "ok", self._now(), output="null")

    def start(self, attempt: Attempt) -> None:
        """Take note of *attempt* and post what the script says."""
        self.started.append(attempt)
        ended = self._script(attempt)
        if ended is None:
            self.running[attempt.task, attempt.number] = attempt
        else:
            self._post(ended)

    def stop(self, task: str, number: int, *, force: bool) -> None:
        """End the attempt, if it is running."""
        if self.running.pop((task, number), None) is not None:
            error = Failure("Signal", "killed by SIGKILL" if force else "killed by SIGTERM")
            self._post(Ended(task, number, "failed", self._now(), error=error))

    def close(self, grace_s: float) -> None:
        """End everything."""
        del grace_s
        for task, number in list(self.running):
            self.stop(task, number, force=True)
