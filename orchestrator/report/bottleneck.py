"""Which task of a pipeline the others waited for."""

from __future__ import annotations

from orchestrator.spec.words import listing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from orchestrator.events import Measured

_CLEAR = 0.2  # of the time; less is no finding


def share(part_s: float | None, queue: Measured) -> float | None:
    """Return *part_s* as a share of the time since *queue* was first used; None for None."""
    if part_s is None:
        return None
    return round(part_s / queue.open_s, 4) if queue.open_s else 0.0


def bottleneck(queues: Mapping[str, Mapping[str, Any]]) -> dict[str, Any] | None:
    """Return what held up a run, from its *queues* as the document has them.

    A task with a full queue before it and none behind it takes longer than all others; where no
    queue was full, it is the one at whose output others starved. None where nothing stands out, or
    nothing was counted (plain pipes).
    """
    counted = {name: queue for name, queue in queues.items() if queue["full"] is not None}
    found: list[tuple[float, str, str]] = []
    for what, here, there in (("full", "consumers", "publishers"),
                              ("empty", "publishers", "consumers")):  # fmt: skip
        for name, queue in counted.items():
            for task in queue[here]:
                beyond = [other[what] for other in counted.values() if task in other[there]]
                score = queue[what] - max(beyond, default=0.0)
                if score >= _CLEAR:
                    found.append((score, task, name))
        if found:
            _, task, name = max(found)
            return {"task": task, "queue": name, what: counted[name][what]}
    return None


def of_measured(
    measured: Mapping[str, Measured], joined: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any] | None:
    """Return what ``bottleneck`` does; *joined* has ``publishers`` and ``consumers`` of each."""
    return bottleneck(
        {
            name: {
                "full": share(queue.full_s, queue),
                "empty": share(queue.empty_s, queue),
                "publishers": joined[name]["publishers"],
                "consumers": joined[name]["consumers"],
            }
            for name, queue in measured.items()
        }
    )


def in_words(found: Mapping[str, Any]) -> str:
    """Return *found* as a line for people."""
    what = "full" if "full" in found else "empty"
    return (
        f"{listing([found['task']])} is the bottleneck: "
        f"{listing([found['queue']])} was {what} {found[what]:.0%} of the time"
    )
