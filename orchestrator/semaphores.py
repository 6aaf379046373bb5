"""Resources of a job: named semaphores, of which attempts take all or none before they start.

Who waits stands in a line with those who ask for the same. A resource that the first of a line
waits for is not given to who ranks behind it, so that a large request is not starved by small ones;
and nobody holds one resource while waiting for another, so that nothing can lock up. It stays kept
for who has lost its slot meanwhile to others that rank behind. Pipelines take what all their
members ask for in one go, and claim it like the first of a line while they wait.
"""

from __future__ import annotations

from heapq import heappop, heappush

from orchestrator.nodes import READY
from orchestrator.records import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from orchestrator.nodes import Node
    from orchestrator.plan.model import Pool

    Entry = tuple[int, int, int, Node]
    Request = tuple[tuple[str, int], ...]


class Claim(NamedTuple):
    """What somebody waits for, that ranks there; *entry* starts, if there is a slot in *pool*."""

    rank: tuple[float, ...]
    request: Request
    pool: Pool | None = None
    entry: Entry | None = None


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
        heappush(self._lines.setdefault((node.pool, request_of(node)), []), entry)

    def take(self, node: Node, times: int = 1) -> None:
        """Give *node* what it asks for."""
        self.refused.discard(node.name)
        for name, amount in node.spec.resources.items():
            self.free[name] -= amount * times

    def give_back(self, node: Node, times: int = 1) -> None:
        """Take back what *node* had."""
        for name, amount in node.spec.resources.items():
            self.free[name] += amount * times

    def claims(self, may_claim: Callable[[Pool, Entry], bool]) -> list[Claim]:
        """Return what the first of each line waits for, of those who *may_claim* it."""
        found = []
        for (pool, request), line in self._lines.items():
            while line and line[0][3].state is not READY:
                heappop(line)
            if line and may_claim(pool, line[0]):
                found.append(Claim(line[0][:3], request, pool, line[0]))
        return found

    def first(self, pool: Pool, claims: Sequence[Claim]) -> Entry | None:
        """Return who starts next in *pool*, which has a slot, of those who wait.

        It stays in its line.
        """
        for claim, fits in self._in_order(claims):
            if claim.entry is None:
                continue
            if fits and claim.pool == pool:
                return claim.entry
            if not fits:
                self.refused.add(claim.entry[3].name)
        return None

    def has_room(self, wanted: Claim, claims: Sequence[Claim]) -> bool:
        """Tell whether *wanted* can be had, whether or not it is among *claims*."""
        in_order = self._in_order([wanted, *claims])
        return next(fits for claim, fits in in_order if claim.rank == wanted.rank)

    def _in_order(self, claims: Sequence[Claim]) -> Iterator[tuple[Claim, bool]]:
        """Yield *claims* by rank, and whether each can be met after those before it.

        Of a resource of which there is not enough for one, those behind it get nothing.
        """
        left = dict(self.free)
        for claim in sorted(claims, key=_rank):
            fits = all(amount <= left[name] for name, amount in claim.request)
            yield claim, fits
            for name, amount in claim.request:
                left[name] = left[name] - amount if fits else 0

    def missing(self, node: Node) -> str | None:
        """Return a resource of which there is not enough for *node*."""
        return self.missing_of(request_of(node))

    def missing_of(self, request: Request) -> str | None:
        """Return a resource of which there is not enough for *request*."""
        return next((name for name, amount in request if amount > self.free[name]), None)

    def remove(self, entry: Entry) -> None:
        """Take *entry*, which is the first of its line, out of it."""
        heappop(self._lines[entry[3].pool, request_of(entry[3])])


def held_by_a_stuck_thread(resource: str | None) -> str:
    """Return why somebody waits in vain for *resource*."""
    return f"resource `{resource}` is held by a thread that is stuck"


def request_of(node: Node) -> Request:
    """Return what *node* asks for, the same for all who ask for the same."""
    return tuple(sorted(node.spec.resources.items()))


def _rank(claim: Claim) -> tuple[float, ...]:
    return claim.rank
