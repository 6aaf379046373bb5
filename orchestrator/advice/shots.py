"""Attempts as advice sees them, read from the events of a run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.events import Cost, Ended, Started


@dataclass(frozen=True, slots=True)
class Shot:
    """One attempt: seconds from its launch to its end, and what it took.

    *lost_s* of that it waited, as far as can be told, because others were in its way, which is
    *lost_share* of what those computed meanwhile; *hogs* of them, on average, computed all along.
    *item* is the index of its instance, if the task has instances.
    """

    seconds: float
    cost: Cost
    started_at: float
    ended_at: float
    lost_s: float = 0.0
    item: int | None = None
    lost_share: float = 0.0
    hogs: float = 0.0


def shots_of(events: Sequence[Any]) -> Iterator[tuple[str, Shot, Ended]]:
    """Yield each attempt that succeeded, by the name of its task or instance."""
    started: dict[str, float] = {}
    for event in events:
        if isinstance(event, Started):
            started[event.task] = event.at
        elif isinstance(event, Ended) and event.outcome == "ok" and event.cost is not None:
            begun = started.get(event.task)
            if begun is not None:
                index = event.task.partition(".")[2]
                item = int(index) if index else None
                shot = Shot(event.at - begun, event.cost, begun, event.at, item=item)
                yield event.task, shot, event
