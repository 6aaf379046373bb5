"""Resources of a job: named semaphores, of which attempts take all or none before they start.

Who waits stands in a line with those who ask for the same. A resource that the first of a line
waits for is not given to who ranks behind it, so that a large request is not starved by small ones;
and nobody holds one resource while waiting for another, so that nothing can lock up. It stays kept
for who has lost its slot meanwhile to others that rank behind.
"""

from __future__ import annotations

from heapq import heappop, heappush

from orchestrator.nodes import READY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from orchestrator.nodes import Node
    from orchestrator.plan.model import Pool

    Entry = tuple[int, int, int, Node]
    Request = tuple[tuple[str, int], ...]


class Semaphores:
    """What is free of each resource, and who waits for it."""

    def __init__(self, capacities: Mapping[str, int]) -> None:
        self.free = dict(capacities)
        self.refused: set[str] = set()  # who had a slot, and not enough of what it asks for
        self._lines: dict[tuple[Pool, Request], list[Entry]] = {}

    def __bool__(self) -> bool:
        return bool(self.free)

    def queue(self, entry: Entry) -> None:
        """Let a node that is ready wait for what it asks for."""
        node = entry[3]
        request = tuple(sorted(node.spec.resources.items()))
        heappush(self._lines.setdefault((node.pool, request), []), entry)

    def take(self, node: Node) -> None:
        """Give *node* what it asks for."""
        self.refused.discard(node.name)
        for name, amount in node.spec.resources.items():
            self.free[name] -= amount

    def give_back(self, node: Node) -> None:
        """Take back what *node* had."""
        for name, amount in node.spec.resources.items():
            self.free[name] += amount

    def first(self, pool: Pool, may_claim: Callable[[Pool, Entry], bool]) -> Entry | None:
        """Return who starts next in *pool*, which has a slot, of those who wait.

        It stays in its line. Only who *may_claim* it keeps others from a resource.
        """
        heads = []
        for (line_pool, request), line in self._lines.items():
            while line and line[0][3].state is not READY:
                heappop(line)
            if line and may_claim(line_pool, line[0]):
                heads.append((line[0], line_pool, request))
        claimed: set[str] = set()
        for entry, line_pool, request in sorted(heads, key=lambda head: head[0][:3]):
            fits = all(
                name not in claimed and amount <= self.free[name] for name, amount in request
            )
            if fits and line_pool == pool:
                return entry
            if not fits:
                self.refused.add(entry[3].name)
            claimed.update(name for name, _ in request)
        return None

    def missing(self, node: Node) -> str | None:
        """Return a resource of which there is not enough for *node*."""
        wanted = node.spec.resources.items()
        return next((name for name, amount in wanted if amount > self.free[name]), None)

    def remove(self, entry: Entry) -> None:
        """Take *entry*, which is the first of its line, out of it."""
        node = entry[3]
        request = tuple(sorted(node.spec.resources.items()))
        heappop(self._lines[node.pool, request])
