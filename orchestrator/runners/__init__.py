"""Runners: what starts the attempts of one mode. The one seam between the loop and the work."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from orchestrator.events import Attempt, Broken, Ended, Noted, Postponed, Returned

    Post = Callable[[Ended | Postponed | Returned | Noted | Broken], None]
    Now = Callable[[], float]

    class Runner(Protocol):
        """Starts attempts of one mode and says how they end.

        Every method returns at once; every outcome is posted. A runner may post late, twice or
        never: the scheduler counts the first ``Ended`` of an attempt. ``Postponed`` says that
        nothing was started, for want of means, and that nothing is left of it. Only JSON-able data
        crosses.
        """

        def start(self, attempt: Attempt) -> None:
            """Start *attempt*; whatever goes wrong becomes its ``Ended`` or ``Postponed``."""

        def stop(self, task: str, number: int, *, force: bool) -> None:
            """Ask an attempt to end; with *force* end it, or give it up. Unknown: ignored."""

        def close(self, grace_s: float) -> None:
            """End what is left, after *grace_s* by force, and give everything back."""
