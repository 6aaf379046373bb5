"""Room: how much of a pool the system has means for, once it has refused to start something.

Without file descriptors, processes, threads or memory an attempt is not failed but postponed. Then
no more run than did, and from time to time one more is tried.
"""

from __future__ import annotations

# For how long a run in which nothing else runs, or a pipeline, waits for the system.
PATIENCE_S = 30.0
FIRST_S, LAST_S = 0.1, 5.0


class Room:
    """What is known of one pool.

    *most* may run at once, None where nothing is known; *since* then it was refused, without an end
    of an attempt in between. *armed*: a timer is under way, after which one more is tried.
    """

    __slots__ = ("armed", "delay_s", "most", "since")

    def __init__(self) -> None:
        self.most: int | None = None
        self.since: float | None = None
        self.armed = False
        self.delay_s = FIRST_S

    def refuse(self, now: float, busy: int) -> None:
        """Let no more run than the *busy* ones."""
        self.most = busy if self.most is None else min(self.most, busy)
        if self.since is None:
            self.since = now

    def regained(self) -> None:
        """Take note that an attempt has ended: there are means again."""
        self.since = None
        self.delay_s = FIRST_S

    def arm(self) -> float:
        """Return when to try one more; the next time it takes twice as long."""
        self.armed = True
        delay_s, self.delay_s = self.delay_s, min(self.delay_s * 2, LAST_S)
        return delay_s

    def widen(self, slots: int) -> None:
        """Let one more run; nothing limits it when that makes all of its *slots*."""
        self.armed = False
        if self.most is not None:
            self.most = self.most + 1 if self.most + 1 < slots else None

    def is_over(self, since: float | None, now: float, patience_s: float) -> bool:
        """Tell whether what was refused *since* then would be for more than *patience_s*."""
        return since is not None and now + self.delay_s - since > patience_s
