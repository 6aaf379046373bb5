"""What of a run that is resumed still counts. No I/O, no clock, no threads.

Recovery folds what was recorded; nothing of it is decided again. A task is *kept* where it has
ended well (skipped without a failure, or with a failure that is allowed, included), is still what
it was, and all that it needs is kept. Of a ``foreach`` each instance is kept by itself. The tasks
of a pipeline are kept together, or none of them, unless there is a record of what those that have
not ended have still to be given. All else is run again, with the numbers of its attempts going on.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from orchestrator.events import (
    Arrived,
    Cancelled,
    Drained,
    Ended,
    Expanded,
    Failure,
    Postponed,
    Resumed,
    Retrying,
    Skipped,
    Started,
)
from orchestrator.plan.graph import levels
from orchestrator.plan.model import INSIDE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from collections.abc import Set as AbstractSet

    from orchestrator.events import (
        Recorded,
    )
    from orchestrator.plan.model import Pipeline, Plan, PlanTask

CRASH = "Crash"  # the type of the error of an attempt that ended orch


@dataclass(slots=True)
class _Line:
    """What is recorded of a task or an instance, each fact with its place in the record."""

    attempts: int = 0
    crashes: int = 0
    started: tuple[int, Started] | None = None
    ended: tuple[int, Ended] | None = None
    skipped: tuple[int, Skipped] | None = None
    others: list[tuple[int, Recorded]] = field(default_factory=list)
    is_open: bool = False  # an attempt is under way, or was cut off

    def fold(self, place: int, event: Recorded) -> None:
        """Take *event* into account, which is the one at *place* of the record."""
        match event:
            case Started(_, attempt, _):
                self.attempts, self.is_open = attempt, True
                self.started, self.ended, self.skipped = (place, event), None, None
            case Postponed(_, attempt):
                self.attempts, self.is_open = attempt - 1, False
                self.started = None
            case Ended():
                self.crashes += event.error is not None and event.error.type == CRASH
                self.ended, self.is_open = (place, event), False
            case Retrying() | Cancelled():
                self.ended = None
            case Skipped():
                self.skipped = (place, event)
            case Expanded():
                self.others.append((place, event))
            case Arrived() | Drained():  # it goes on, whatever an earlier session made of it
                self.others.append((place, event))
                self.ended = self.skipped = None

    def forget(self) -> None:
        """Let nothing count but the numbers of its attempts."""
        self.started = self.ended = self.skipped = None
        self.others = []
        self.is_open = False


@dataclass(slots=True)
class Recovery:
    """What a resumed run begins with.

    *events* are to be folded, in this order; *attempts* says how many each task and instance has
    made; *again* are those of whom nothing else counts any more; *lost* were under way; *crashed*
    are tasks that twice ended orch; *kept* are tasks of which all is kept, or some instances.
    *undelivered* are queues that hold what is left of an earlier session; *arrived* says how many
    items have come for tasks that make an attempt of each.
    """

    events: list[Recorded]
    attempts: dict[str, int]
    again: list[str]
    lost: list[Ended]
    crashed: list[str]
    kept: set[str]
    undelivered: set[str]
    arrived: dict[str, int]
    last_at: float


class History:
    """All that is recorded of a run that is to go on as *plan*, by task and instance."""

    def __init__(self, plan: Plan, events: Iterable[Recorded]) -> None:
        self._plan = plan
        self._lines: dict[str, _Line] = {}
        self.last_at = 0.0
        for place, event in enumerate(events):
            self.last_at = max(self.last_at, event.at)
            self._fold(place, event)

    def _fold(self, place: int, event: Recorded) -> None:
        if isinstance(event, Resumed):
            for again in event.again:
                self._line(again).forget()
        elif name := getattr(event, "task", ""):
            self._line(name).fold(place, event)

    def _line(self, name: str) -> _Line:
        line = self._lines.get(name)
        if line is None:
            line = self._lines[name] = _Line()
        return line

    def recovery(
        self,
        changed: Collection[str] = (),
        crash: str | None = None,
        recorded: Collection[str] = (),
    ) -> Recovery:
        """Return what of it counts, where the tasks *changed* are not what they were.

        *crash* is how orch ended, if a task in it may have done that. Of the queues *recorded* it
        is known what has not been delivered.
        """
        plan = self._plan
        instances = self._instances()
        whole, undelivered = self._whole(frozenset(changed), recorded)
        placed: list[tuple[int, Recorded]] = []
        kept: set[str] = set()
        again: list[str] = []
        for name, task in plan.tasks.items():
            line = self._lines.get(name)
            streams = task.source in undelivered and line is not None and bool(line.others)
            some = streams or self._keeps_instances(task, changed, whole)
            if name in whole:
                placed += self._of(name)
            elif some and line is not None:  # not how it ended as a whole
                placed += line.others
            elif name in self._lines:
                again.append(name)
            for each in instances.get(name, ()):
                if name in whole or (some and self._is_settled(each, task)):
                    kept.add(name)
                    placed += self._of(each)
                else:
                    again.append(each)
            if name in whole:
                kept.add(name)
        again += [name for name in self._lines if name.partition(".")[0] not in plan.tasks]
        lost = list(self._lost(crash))
        return Recovery(
            events=[event for _, event in sorted(placed, key=lambda entry: entry[0])],
            attempts={name: line.attempts for name, line in self._lines.items() if line.attempts},
            again=again,
            lost=lost,
            crashed=list(self._crashed(lost)),
            kept=kept,
            undelivered=undelivered,
            arrived={
                name: self._arrived(name)
                for name, task in plan.tasks.items()
                if task.source in undelivered
            },
            last_at=self.last_at,
        )

    def _instances(self) -> dict[str, list[str]]:
        """Return the names of the instances of which something is recorded, by task."""
        found: dict[str, list[str]] = {}
        for name in self._lines:
            task, _, index = name.partition(".")
            if index and task in self._plan.tasks:
                found.setdefault(task, []).append(name)
        return found

    def _arrived(self, name: str) -> int:
        line = self._lines.get(name)
        return 0 if line is None else sum(isinstance(event, Arrived) for _, event in line.others)

    def _whole(
        self, changed: AbstractSet[str], recorded: Collection[str]
    ) -> tuple[set[str], set[str]]:
        """Return the tasks of which all is kept, and the queues of which the rest is delivered."""
        plan = self._plan
        undelivered: set[str] = set()
        gang_of = {name: gang for gang in plan.pipelines for name in gang.members}
        begun = self._begun()
        settled = {
            name
            for name, task in plan.tasks.items()
            if name not in changed and self._has_settled(name, task)
        }
        kept: set[str] = set()
        members_of = {n: gang_of[n].members if n in gang_of else (n,) for n in plan.tasks}
        needs = {  # what one of a pipeline needs, all of it does
            name: {n for m in members for n in plan.tasks[m].needs if n not in members}
            for name, members in members_of.items()
        }
        for name in levels(needs)[0]:
            gang, members = gang_of.get(name), members_of[name]
            if name in kept or not needs[name] <= kept:
                continue
            if settled.issuperset(members):
                kept.update(members)
            elif gang is not None and changed.isdisjoint(members) and not begun.isdisjoint(members):
                queues = self._rest_of(gang, settled, recorded)
                undelivered |= queues
                if queues:
                    kept.update(settled.intersection(members))
        return kept, undelivered

    def _rest_of(
        self, gang: Pipeline, settled: Collection[str], recorded: Collection[str]
    ) -> set[str]:
        """Return the queues whose rest those of *gang* that have not ended need; none: all of it.

        That is enough where each of them consumes one that is on record: who ended well has
        published all, and who has not goes on publishing what comes of the rest.
        """
        found = set()
        for name in gang.members:
            task = self._plan.tasks[name]
            if name in settled:
                continue
            queue = task.consume or task.source
            if queue is None or queue not in recorded:
                return set()
            found.add(queue)
        return found

    def _begun(self) -> set[str]:
        """Return tasks of which something has begun; who ended before that published nothing."""
        tasks = self._plan.tasks
        found = set()
        for name, line in self._lines.items():
            task = name.partition(".")[0]
            if task not in tasks:
                continue
            # items that were looked up are known before the pipeline begins
            others = (not isinstance(e, Expanded) or tasks[task].count is not None
                      for _, e in line.others)  # fmt: skip
            if line.started is not None or any(others):
                found.add(task)
        return found

    def _has_settled(self, name: str, task: PlanTask) -> bool:
        if not task.many or self._is_skipped(name):
            return self._is_settled(name, task)
        line = self._lines.get(name)
        if line is None:
            return False
        if line.ended is not None:  # what its instances are could not be told
            return task.allow_failure
        found = [event for _, event in line.others]
        if task.source is not None:
            is_over = any(isinstance(event, Drained) for event in found)
            arrived = self._arrived(name)
        else:
            counts = [event.instances for event in found if isinstance(event, Expanded)]
            is_over, arrived = bool(counts), counts[-1] if counts else 0
        # there may be more on record, of sessions in which there were more of them
        return is_over and all(self._is_settled(f"{name}.{n}", task) for n in range(arrived))

    def _is_skipped(self, name: str) -> bool:
        line = self._lines.get(name)
        return line is not None and line.skipped is not None

    def _is_settled(self, name: str, task: PlanTask) -> bool:
        """Tell whether *name*, a task without instances or an instance, has ended well."""
        line = self._lines.get(name)
        if line is None or line.is_open:
            return False
        if line.skipped is not None:
            return not line.skipped[1].failure
        if line.ended is None:
            return False
        ended = line.ended[1]
        if ended.outcome == "ok":
            return True
        held = ended.left_running and not ended.final  # until its thread returns; then tried again
        return self._tolerates(task) and ended.outcome != "stopped" and not held

    def _tolerates(self, task: PlanTask) -> bool:
        """Tell whether a failure of *task* counts as success: allowed, or its item set aside."""
        queue = self._plan.queues.get(task.source or "")
        return task.allow_failure or (queue is not None and queue.dead_letter is not None)

    def _keeps_instances(
        self, task: PlanTask, changed: Collection[str], whole: Collection[str]
    ) -> bool:
        """Tell whether those instances of *task* that ended well are kept, whatever the others."""
        in_pipeline = task.publish or task.consume or task.source
        return (
            task.many
            and not in_pipeline
            and task.name not in changed
            and task.name in self._lines
            and any(isinstance(event, Expanded) for _, event in self._lines[task.name].others)
            and all(need in whole for need in task.needs)
        )

    def _of(self, name: str) -> Iterator[tuple[int, Recorded]]:
        """Yield what is to be folded of *name*: its last attempt only, as the last there is."""
        line = self._lines.get(name)
        if line is None:
            return
        yield from line.others
        waited = line.skipped is not None or (line.ended is not None and not line.ended[1].attempt)
        if line.started is not None and (waited or line.ended is not None):
            yield line.started
            if waited:  # for its next try, until it was skipped or given up
                place, started = line.started
                yield place, Ended(name, started.attempt, "failed", started.at)
        if line.skipped is not None:
            yield line.skipped
        elif line.ended is not None:
            place, ended = line.ended
            if ended.outcome != "ok":
                ended = ended._replace(final=True, left_running=False)
            yield place, ended

    def _lost(self, crash: str | None) -> Iterator[Ended]:
        """Yield the ends of the attempts that were under way when orch ended."""
        for name, line in self._lines.items():
            if not line.is_open:
                continue
            task = self._plan.tasks.get(name.partition(".")[0])
            error = Failure("Lost", "orch ended before it did")
            if crash is not None and task is not None and task.mode in INSIDE:
                where = "in an interpreter" if task.mode == "interpreter" else "on a thread"
                error = Failure(CRASH, f"orch was ended by {crash} while it ran {where}")
            yield Ended(name, line.attempts, "lost", self.last_at, error=error, final=True)

    def _crashed(self, lost: Iterable[Ended]) -> Iterator[str]:
        for ended in lost:
            if ended.error is not None and ended.error.type == CRASH:
                self._lines[ended.task].crashes += 1
        for name, line in self._lines.items():
            if line.crashes > 1 and not (line.ended and line.ended[1].outcome == "ok"):
                yield name
