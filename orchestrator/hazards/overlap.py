"""Which tasks of a plan may run at the same time, as far as the plan itself says."""

from __future__ import annotations

from orchestrator.plan.graph import levels

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from orchestrator.plan.model import Plan, PlanTask

MAX_TRIES = 20
MAX_STEPS = 3_000_000


class Overlaps:
    """Looks for tasks that may overlap.

    Two tasks on the same floor of the graph (as many needs in a row below them) never wait for each
    other, so most pairs are found without a walk. The others are found by walks from some of the
    tasks, up to *MAX_STEPS* tasks passed in all; *steps* counts them. Where that does not suffice,
    an overlap may be missed.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.steps = 0
        self._pipeline: dict[str, int] = {}
        self._needs = self._all_needs()
        self._dependents: dict[str, list[str]] = {}
        for name, needs in self._needs.items():
            for need in needs:
                self._dependents.setdefault(need, []).append(name)
        self._floor = self._floors()
        self._ordered: dict[str, set[str]] = {}

    def _all_needs(self) -> dict[str, tuple[str, ...]]:
        """Return what each task waits for; tasks that a queue joins start together."""
        needs = {name: task.needs for name, task in self.plan.tasks.items()}
        for number, members in enumerate(self._groups()):
            inside = set(members)
            wanted = dict.fromkeys(n for m in members for n in needs[m] if n not in inside)
            for member in members:
                self._pipeline[member] = number
                needs[member] = tuple(wanted)
        return needs

    def _groups(self) -> list[list[str]]:
        """Return the tasks that queues join, in groups."""
        group: dict[str, list[str]] = {}
        queues: dict[str, list[str]] = {}
        for name, task in self.plan.tasks.items():
            for queue in (task.publish, task.consume, task.source):
                if queue is not None:
                    queues.setdefault(queue, []).append(name)
        for members in [list(p.members) for p in self.plan.pipelines] + list(queues.values()):
            known = [name for name in members if name in self.plan.tasks]
            joined = {id(group[name]): group[name] for name in known if name in group}
            whole = list(dict.fromkeys([*known, *(n for old in joined.values() for n in old)]))
            group.update((name, whole) for name in whole)
        return list({id(members): members for members in group.values()}.values())

    def _floors(self) -> dict[str, int]:
        order, stuck = levels(self._needs)
        floor: dict[str, int] = dict.fromkeys(stuck, -1)
        for name in order:
            floor[name] = 1 + max((floor.get(need, 0) for need in self._needs[name]), default=0)
        return floor

    def example(
        self, first: Sequence[PlanTask], second: Sequence[PlanTask]
    ) -> tuple[PlanTask, PlanTask] | None:
        """Return one of *first* and one of *second* that may run at the same time."""
        if self.plan.threads < 2:  # noqa: PLR2004
            return None
        for task in _some(first):
            if task.many and any(task is other for other in _some(second)) and self._beside(task):
                return task, task
        if len(first) == len(second) == 1 and first[0] is second[0]:
            return None  # a file of its own: so has every task, and a walk for each would be long
        by_floor: dict[int, list[PlanTask]] = {}
        for task in second:
            by_floor.setdefault(self._floor.get(task.name, -1), []).append(task)
        for task in _some(first):
            near = by_floor.get(self._floor.get(task.name, -1), ())
            for other in near[:MAX_TRIES]:
                if self.may(task, other):
                    return task, other
        return self._walk(first, second)

    def _walk(
        self, first: Sequence[PlanTask], second: Sequence[PlanTask]
    ) -> tuple[PlanTask, PlanTask] | None:
        if len(second) < len(first):
            found = self._walk(second, first)
            return (found[1], found[0]) if found else None
        for task in _some(first):
            if self.steps > MAX_STEPS:
                return None
            ordered = self.ordered_with(task.name)
            tries = 0
            for other in second:
                self.steps += 1
                if other.name not in ordered and tries < MAX_TRIES:
                    if self.may(task, other):
                        return task, other
                    tries += 1
        return None

    def may(self, one: PlanTask, other: PlanTask) -> bool:
        """Tell whether two tasks may run at the same time; *one* itself: two instances of it."""
        if one is other:
            return self._beside(one)
        if one.name == other.name:
            return self._fit(one, one)  # other instances of it
        if not self._fit(one, other) or self._exclusive(one, other):
            return False
        pipeline = self._pipeline.get(one.name)
        if pipeline is not None and pipeline == self._pipeline.get(other.name):
            return True
        if self._floor.get(one.name) == self._floor.get(other.name):
            return True
        return other.name not in self.ordered_with(one.name)

    def _beside(self, task: PlanTask) -> bool:
        count = task.count
        return task.many and (count is None or count > 1) and self._fit(task, task)

    def _fit(self, one: PlanTask, other: PlanTask) -> bool:
        """Tell whether the resources of the plan suffice for both at once."""
        capacity = getattr(self.plan, "resources", {})
        mine, theirs = getattr(one, "resources", {}), getattr(other, "resources", {})
        return all(
            mine[name] + theirs[name] <= capacity.get(name, 1) for name in mine if name in theirs
        )

    def _exclusive(self, one: PlanTask, other: PlanTask) -> bool:
        """Tell whether one runs only where something failed, without which the other does not."""
        for first, second in ((one, other), (other, one)):
            if first.run_when == "failed" and second.run_when == "succeeded":
                return set(first.needs) <= self._relied_on(second)
        return False

    def _relied_on(self, task: PlanTask) -> set[str]:
        """Return the tasks none of which has failed where *task* runs."""
        found: set[str] = set()
        stack = list(task.needs)
        while stack:
            name = stack.pop()
            if name in found or name not in self.plan.tasks:
                continue
            found.add(name)
            self.steps += 1
            need = self.plan.tasks[name]
            if need.run_when == "succeeded" and not need.allow_failure:
                stack.extend(need.needs)
        return found

    def ordered_with(self, name: str) -> set[str]:
        """Return the tasks that always end before *name* starts, or start after it has ended."""
        if name not in self._ordered:
            if len(self._ordered) > 4 * MAX_TRIES:
                self._ordered.clear()
            self._ordered[name] = self._reach(name, self._needs) | self._reach(
                name, self._dependents
            )
        return self._ordered[name]

    def _reach(
        self, name: str, ways: dict[str, tuple[str, ...]] | dict[str, list[str]]
    ) -> set[str]:
        found: set[str] = set()
        stack: list[str] = list(ways.get(name, ()))
        while stack:
            one = stack.pop()
            if one not in found:
                found.add(one)
                self.steps += 1
                stack.extend(ways.get(one, ()))
        return found


def _some(tasks: Sequence[PlanTask]) -> Iterable[PlanTask]:
    """Return at most *MAX_TRIES* of *tasks*, evenly spread."""
    if len(tasks) <= MAX_TRIES:
        return tasks
    step = len(tasks) / MAX_TRIES
    return [tasks[int(index * step)] for index in range(MAX_TRIES)]
