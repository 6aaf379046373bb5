"""What an attempt leaves behind: processes that its program has started and that outlive it."""

from __future__ import annotations

import os
from contextlib import suppress

from orchestrator import keeper, procfs
from orchestrator.lean import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    from orchestrator.events import Attempt

    Policy = Literal["kill", "warn", "allow"]

_ROUNDS = 20  # of killing what is just being started


class Leftovers:
    """What becomes of those processes; they are told by their group, and by their environment.

    Those in other sessions are found where a keeper looks after orch: they are handed to the
    watchdog when their parent ends. All that is still there goes at the end of the run.
    """

    __slots__ = ("_marks", "_policy")

    def __init__(self, attempt: Attempt) -> None:
        self._policy = attempt.leftovers
        names = (procfs.RUN_ID, procfs.TASK, procfs.ATTEMPT)
        env = attempt.env or {}
        self._marks = frozenset(os.fsencode(f"{name}={env.get(name, '')}") for name in names)

    def settle(self, leader: int) -> list[str]:
        """Do what is to be done when *leader* has ended and is not reaped: it pins the group's id.

        Returns the names of processes that are left and that someone should hear of.
        """
        if self._policy == "allow":
            return []
        if self._policy == "warn":
            left = {*procfs.group_of(leader), *self._orphans()}
            return [f"{procfs.name_of(pid)} ({pid})" for pid in sorted(left)]
        found = self._orphans()
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(leader, signal.SIGKILL)
        for _ in range(_ROUNDS):
            if not found:
                break
            for pid in found:
                procfs.kill(pid, signal.SIGKILL)
            found = [pid for pid in self._orphans() if not procfs.has_ended(pid)]
        return []

    def _orphans(self) -> list[int]:
        watchdog = keeper.watchdog()
        return [] if watchdog is None else procfs.left_by(watchdog, os.getpid(), self._marks)
