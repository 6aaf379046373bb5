"""A census of Python modules: the functions of ``configs/census.yaml``."""

import heapq
import os
from collections.abc import Iterator
from typing import Any

from orchestrator import task

SUMMED = ("lines", "functions", "classes", "documentable", "documented")


def find_modules(source: str, without: str) -> Iterator[dict[str, str]]:
    """Yield every ``*.py`` below *source*; folders named *without* are passed over.

    Returns how many there were.
    """
    found = 0
    for place, folders, names in os.walk(source):
        folders[:] = sorted(name for name in folders if name != without)
        for name in sorted(names):
            if name.endswith(".py"):
                path = os.path.join(place, name)
                yield {"path": path, "module": os.path.relpath(path, source)}
                found += 1
    task.log.info("modules found", modules=found)
    return found


def total(facts: Iterator[dict[str, Any]], top: int) -> dict[str, Any]:
    """Add up *facts*, one of each module, and keep those of the *top* longest modules."""
    sums: dict[str, Any] = dict.fromkeys(("modules", "unreadable", *SUMMED), 0)
    largest: list[tuple[int, str, dict[str, Any]]] = []
    for fact in facts:
        sums["modules"] += 1
        if fact["error"] is not None:
            sums["unreadable"] += 1
            continue
        for key in SUMMED:
            sums[key] += fact[key]
        heapq.heappush(largest, (fact["lines"], fact["module"], fact))
        if len(largest) > top:
            heapq.heappop(largest)
        task.progress(sums["modules"])
    print(f"{sums['modules']} modules, {sums['lines']} lines")
    sums["largest"] = [fact for _, _, fact in sorted(largest, reverse=True)]
    return sums
