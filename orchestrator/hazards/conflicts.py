"""Pairs of tasks that may touch the same at the same time: suspects, never proofs."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace

from orchestrator.hazards import tables
from orchestrator.hazards.binding import Binding, family, guarded, is_open, passed
from orchestrator.hazards.effects import Effect, reading_of
from orchestrator.hazards.overlap import Overlaps
from orchestrator.hazards.reader import Reader
from orchestrator.hazards.values import keyed
from orchestrator.hazards.words import named, ways, why

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from orchestrator.hazards.effects import Reading
    from orchestrator.hazards.values import Resource
    from orchestrator.plan.model import Plan, PlanTask

    Groups = dict[tuple[Any, ...], list[PlanTask]]

# Of what is touched at more places than this, the rest is left out: the first will be told anyway.
MAX_SITES = 60
_WHOLE = frozenset({"computed", "augmented"})


@dataclass(frozen=True)
class Place:
    """A line; *file* is relative to the root of the job where it is below that."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True)
class Hazard:
    """Two tasks that are suspected to race; the same name twice: instances of one task."""

    tasks: tuple[str, str]
    resource: str
    places: tuple[Place, Place]
    why: str
    ways: tuple[str, ...]

    def text(self) -> str:
        """Return one line for a user."""
        first, second = self.tasks
        what = self.resource.partition(", ")[0]
        one, other = self.places
        at = str(one) if one == other else f"{one}, {other}"
        if first == second:
            return f"suspect: `{first}` may run beside itself, and touches {what}: {at}"
        return (
            f"suspect: `{first}` and `{second}` may run at the same time, and both touch "
            f"{what}: {at}"
        )


@dataclass(frozen=True)
class Site:
    """A place that touches something in some way."""

    effect: Effect

    @property
    def weight(self) -> tuple[int, int, bool, int]:
        """How plainly it shows a race: least first."""
        effect = self.effect
        # of what the process has one, to set it is as plain as to change it
        writes = 0 if effect.resource[0] == "process" else 1
        kind = {"update": 0, "write": writes, "read": 2}[effect.kind]
        # the way through fewest calls stands nearest to what the user has named
        return kind, len(effect.calls), effect.atomic, effect.line


@dataclass
class Search:
    """One search through a plan. *compared* counts the pairs of places that were looked at."""

    plan: Plan
    compared: int = 0
    read: dict[str, Reading] = field(default_factory=dict)
    overlaps: Overlaps = field(init=False)

    def __post_init__(self) -> None:
        self.overlaps = Overlaps(self.plan)
        self._reader = Reader(self.plan.root)
        self._binding = Binding()
        # what is touched, where, and by the tasks of which groups
        self._sites: dict[Resource, dict[Site, list[list[PlanTask]]]] = {}
        # what each function reads without a lock, and what it writes under which
        self._looked: dict[str | None, set[Resource]] = {}
        self._written: dict[tuple[str | None, Resource], set[Resource]] = {}
        self._halves: set[frozenset[str]] = set()
        self._examples: dict[Any, tuple[PlanTask, PlanTask] | None] = {}

    def run(self) -> list[Hazard]:
        """Return the suspects, in the order of their places."""
        if self.plan.threads < 2:  # noqa: PLR2004 - nothing runs beside anything
            return []
        for tasks in self._groups().values():
            self._touch(tasks)
        found: dict[tuple[Place, Place], Hazard] = {}
        for resource, sites in self._together():
            for hazard in self._in(resource, sites):
                first, second = sorted(hazard.places, key=lambda place: (place.file, place.line))
                found.setdefault((first, second), hazard)
        return sorted(
            found.values(), key=lambda hazard: [(p.file, p.line) for p in hazard.places]
        )  # fmt: skip

    def _together(self) -> Iterator[tuple[Resource, dict[Site, list[list[PlanTask]]]]]:
        """Yield what is touched, and where; a place that touches any of many is also at each."""
        of_family: dict[Resource, list[Resource]] = {}
        for resource in self._sites:
            if "[" in resource[-1]:
                of_family.setdefault(family(resource), []).append(resource)
        for resource, sites in self._sites.items():
            yield resource, sites
            for member in of_family.get(resource, ()):
                if member != resource:
                    yield resource, {**sites, **self._sites[member]}

    @property
    def unread(self) -> tuple[str, ...]:
        """What of the job's own ``run`` could not read, or not to its end: ``module:function``.

        A module alone is one that cannot be parsed. Races in there are not found.
        """
        return self._reader.unread

    def _groups(self) -> Groups:
        """Return the tasks whose function, and the state in which it is called, are the same."""
        groups: Groups = {}
        for task in self.plan.tasks.values():
            if task.mode != "thread" or task.function is None or task.skip is not None:
                continue
            if task.when is not None and not task.when and not isinstance(task.when, str):
                continue  # with these parameters it never runs
            args = len(task.args) if isinstance(task.args, list | tuple) else None
            kwargs = tuple(task.kwargs) if isinstance(task.kwargs, dict) else None
            joined = task.consume is not None
            own_cwd = task.cwd is not None
            groups.setdefault((task.function, args, kwargs, joined, own_cwd), []).append(task)
        return groups

    def _reading(self, function: str) -> Reading:
        if function not in self.read:
            self.read[function] = reading_of(function, self._reader)
        return self.read[function]

    def _touch(self, tasks: list[PlanTask]) -> None:
        """Note what the tasks of one group touch."""
        one = tasks[0]
        reading = self._reading(one.function or "")
        given = passed(one, reading)
        for effect in reading.effects:
            resource = effect.resource
            if resource[0] == "default" and not effect.calls and _parameter(resource[2]) in given:
                continue
            if is_open(effect):
                for task in tasks:
                    self._fill(effect, task, reading)
            elif resource != tables.CWD or one.cwd is None:
                self._spread(effect, tasks)
        if reading.file:
            lives = Effect(tables.LIFE, "read", reading.file, reading.line, how="lives")
            self._note(tables.LIFE, lives, tasks)

    def _fill(self, effect: Effect, task: PlanTask, reading: Reading) -> None:
        """Note *effect* as it is for the instances of *task*."""
        try:
            for known, part in self._binding.bound(effect, task, reading):
                self._bind(known, part, named=keyed(effect.resource))
        except Exception:  # noqa: BLE001 - what a user's template does must not break the check
            self._reader.fail(task.function or "")

    def _bind(self, effect: Effect, task: PlanTask, *, named: bool) -> None:
        """Note *effect*, filled in for *task*; *named*: by an argument."""
        kind, *_, path = effect.resource
        if kind == "file" and named and not path.startswith("/") and task.cwd is None:
            relative = replace(effect, resource=tables.CWD, kind="read", how="relative")
            self._note(tables.CWD, relative, [task])
        if effect.resource != tables.CWD or task.cwd is None:
            self._spread(effect, [task])

    def _spread(self, effect: Effect, tasks: list[PlanTask]) -> None:
        """Note *effect* for each of *tasks*."""
        match effect.resource:
            case ("file", path):
                self._file(effect, path, tasks)
            case resource:
                self._note(resource, effect, tasks)

    def _note(self, resource: Resource, effect: Effect, tasks: list[PlanTask]) -> None:
        site = Site(replace(effect, resource=resource, calls=effect.calls[:1]))
        function = tasks[0].function
        if effect.kind == "read" and not effect.locks:
            self._looked.setdefault(function, set()).add(resource)
        elif effect.kind != "read":
            for lock in effect.locks:
                self._written.setdefault((function, lock), set()).add(resource)
        self._sites.setdefault(resource, {}).setdefault(site, []).append(tasks)

    def _file(self, effect: Effect, path: str, tasks: list[PlanTask]) -> None:
        for task in tasks if tasks[0].cwd is not None else tasks[:1]:
            folder = task.cwd if task.cwd is not None else ""
            if not os.path.isabs(path) and not isinstance(folder, str):
                continue  # a template: nobody knows where
            full = os.path.normpath(os.path.join(self.plan.root, folder, path))
            together = [task] if task.cwd is not None else tasks
            self._note(("file", full), effect, together)

    def _in(self, resource: Resource, sites: dict[Site, list[list[PlanTask]]]) -> Iterator[Hazard]:
        """Yield the suspects that touch *resource*: one for two functions, the plainest."""
        if all(site.effect.kind == "read" for site in sites):
            return
        told: set[frozenset[str]] = set()
        order = sorted(sites, key=lambda site: site.weight)[:MAX_SITES]
        for index, one in enumerate(order):
            if one.effect.kind == "read":
                return
            for other in order[index:]:
                self.compared += 1
                if not _conflict(one.effect, other.effect) or self._fine(one, other, sites):
                    continue
                tasks = self._example(sites[one], sites[other])
                if tasks is None:
                    continue
                functions = frozenset(task.function or "" for task in tasks)
                if functions in told or (resource == tables.LIFE and told):
                    continue
                if _looks_at_all(one.effect, other.effect):
                    if functions in self._halves:
                        continue  # told of the first of the things that are changed together
                    self._halves.add(functions)
                told.add(functions)
                reader = _reader(one.effect, order)
                yield self._hazard(resource, (one.effect, other.effect, reader), tasks)

    def _fine(self, one: Site, other: Site, sites: dict[Site, list[list[PlanTask]]]) -> bool:
        """Tell whether one of two places just looks at what the other replaces under a lock.

        Not where it looks at more than one thing that is written there: it may see one changed, and
        the other not yet.
        """
        if not _looks_at_all(one.effect, other.effect):
            return False
        writers, readers = ([t[0].function for t in sites[site]] for site in (one, other))
        together: set[Resource] = set()
        for lock in one.effect.under:
            together.update(*(self._written.get((name, lock), ()) for name in writers))
        return all(len(together & self._looked.get(name, set())) < 2 for name in readers)  # noqa: PLR2004

    def _example(
        self, first: list[list[PlanTask]], second: list[list[PlanTask]]
    ) -> tuple[PlanTask, PlanTask] | None:
        # the same tasks meet again at each thing that their functions share
        key = (tuple(map(id, first)), tuple(map(id, second)))
        if key not in self._examples:
            ones = first[0] if len(first) == 1 else [task for tasks in first for task in tasks]
            others = second[0] if len(second) == 1 else [t for tasks in second for t in tasks]
            self._examples[key] = self.overlaps.example(ones, others)
        return self._examples[key]

    def _hazard(
        self,
        resource: Resource,
        effects: tuple[Effect, Effect, Effect | None],
        tasks: tuple[PlanTask, PlanTask],
    ) -> Hazard:
        one, other, reader = effects
        names, places = [task.name for task in tasks], [self._place(one), self._place(other)]
        if tasks[0].order > tasks[1].order:
            names.reverse()
            places.reverse()
        folder = "folder" in (one.how, other.how)
        return Hazard(
            (names[0], names[1]),
            named(resource, self.plan.root, folder=folder),
            (places[0], places[1]),
            why(one, other, reader),
            ways(resource, one, other),
        )

    def _place(self, effect: Effect) -> Place:
        file, root = effect.file, os.path.join(os.path.realpath(self.plan.root), "")
        real = os.path.realpath(file)
        return Place(real[len(root) :] if real.startswith(root) else file, effect.line)


def hazards(plan: Plan) -> list[Hazard]:
    """Return the pairs of places at which tasks of *plan* on threads are suspected to race.

    Two functions are told about once for each thing that both touch, by the plainest pair of
    places. The work grows with the tasks, and with the pairs of places, not with pairs of tasks.
    """
    return Search(plan).run()


def _conflict(one: Effect, other: Effect) -> bool:
    """Tell whether two effects on the same resource, in two threads, may harm."""
    if one.kind == other.kind == "read" or one.accepted or other.accepted:
        return False
    if guarded(one, other) or (one.atomic and other.atomic and not _emptied(one, other)):
        return False
    if one.how == other.how and one.how.startswith("set "):
        return False  # whoever is last, it is the same, also for who reads what it has set
    if one.inside != other.inside and one.resource[0] != "process":
        return False
    return not (_makes_once(one, other) or _makes_once(other, one))


def _reader(writer: Effect, sites: list[Site]) -> Effect | None:
    """Return what of *sites* reads what *writer* sets, if anything."""
    found = (site.effect for site in sites if site.effect.kind == "read")
    return next((effect for effect in found if _conflict(writer, effect)), None)


def _emptied(one: Effect, other: Effect) -> bool:
    """Tell whether one of them empties what the other expects something in."""
    return {one.how, other.how} == {"clear", "needed"}


def _makes_once(one: Effect, other: Effect) -> bool:
    """Tell whether *one* makes something under a lock if it lacks, and *other* just looks at it.

    Whoever looks without the lock sees nothing or all of it, and tries again under the lock.
    """
    made = one.kind == "update" and one.how == "checked" and bool(one.under)
    return made and other.kind == "read" and other.atomic


def _looks_at_all(one: Effect, other: Effect) -> bool:
    """Tell whether *one* replaces a value under a lock, and *other* has the old or the new one."""
    replaced = one.kind == "update" and one.how in _WHOLE and not one.inside
    return replaced and bool(one.under) and other.kind == "read" and other.atomic


def _parameter(default: str) -> str:
    """Return the parameter that a resource ``function.parameter['key']`` is the default of."""
    return default.partition("[")[0].rpartition(".")[2]
