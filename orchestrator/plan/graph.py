"""The graph of needs: cycles, order, what a choice of tasks takes with it."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    Needs = Mapping[str, Collection[str]]


def levels(needs: Needs) -> tuple[list[str], list[str]]:
    """Return the names in an order in which every need stands first, and those in or behind cycles.

    Names that are needed and not there are passed over. Linear in tasks and edges.
    """
    waits: dict[str, int] = {}
    dependents: dict[str, list[str]] = {}
    for name, wanted in needs.items():
        known = [need for need in wanted if need in needs]
        waits[name] = len(known)
        for need in known:
            dependents.setdefault(need, []).append(name)
    order = [name for name, count in waits.items() if count == 0]
    for name in order:
        for dependent in dependents.get(name, ()):
            waits[dependent] -= 1
            if waits[dependent] == 0:
                order.append(dependent)
    done = set(order) if len(order) < len(waits) else set(waits)
    return order, [name for name in waits if name not in done]


def cycles(needs: Needs) -> list[list[str]]:
    """Return cycles, each as the names along it in the order of flow, no name in two of them."""
    found: list[list[str]] = []
    stuck = set(levels(needs)[1])
    rest: dict[str, list[str]] = {
        name: [need for need in wanted if need in stuck]
        for name, wanted in needs.items()
        if name in stuck
    }
    place = {name: index for index, name in enumerate(rest)}
    done: set[str] = set()
    for start in rest:
        path: list[str] = []
        places: dict[str, int] = {}
        name = start
        while name not in done and name not in places:
            places[name] = len(path)
            path.append(name)
            following = [need for need in rest[name] if need not in done]
            if not following:
                break
            name = following[0]
        if name in places and name in rest[path[-1]]:
            cycle = path[places[name] :][::-1]
            first = cycle.index(min(cycle, key=place.__getitem__))
            found.append(cycle[first:] + cycle[:first])
        done.update(path)
    return found


def with_needs(chosen: Iterable[str], needs: Needs) -> set[str]:
    """Return *chosen* and all that they need, directly or not."""
    wanted: set[str] = set()
    open_names = list(chosen)
    while open_names:
        name = open_names.pop()
        if name not in wanted:
            wanted.add(name)
            open_names.extend(needs[name])
    return wanted
