"""The loop: the one place that sees both the scheduler and the world.

One inbox, one turn at a time, whichever thread takes it: no lock is needed in the scheduler, the
journal or the display. In each turn everything in the inbox is folded, what follows is decided,
both are recorded in one transaction, and only then is anything done. The scheduler is memory only,
so nothing has happened before the record is made; if the record fails, nothing is acted on.
"""

from __future__ import annotations

from _thread import allocate_lock
from heapq import heappop, heappush

from orchestrator import jsonio
from orchestrator.errors import JournalError, TemplateError
from orchestrator.events import (
    KINDS,
    Arrived,
    Asked,
    Broken,
    Decided,
    Ended,
    Expanded,
    Failure,
    Finished,
    Fired,
    Noted,
    Started,
)
from orchestrator.nodes import (
    Arm,
    CloseQueue,
    EndQueue,
    Feed,
    Forget,
    GiveBack,
    Over,
    Resolve,
    SetAside,
    Stop,
    StopFeed,
)
from orchestrator.plan import templates
from orchestrator.plan.fill import items as items_of
from orchestrator.plan.prepare import condition
from orchestrator.sampler import SAMPLE_S, Sampler

TYPE_CHECKING = False
if TYPE_CHECKING:  # few jobs have queues
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any, Protocol

    from orchestrator.clock import Clock
    from orchestrator.events import (
        Event,
        Measured,
        Recorded,
    )
    from orchestrator.inbox import Inbox
    from orchestrator.journal import Journal
    from orchestrator.plan.model import Plan, PlanTask
    from orchestrator.plan.prepare import Preparer
    from orchestrator.queues.registry import Queues
    from orchestrator.runners import Runner
    from orchestrator.runners.threads import ThreadRunner
    from orchestrator.scheduler import Scheduler
    from orchestrator.secrets import Secrets

    class Observer(Protocol):
        """Someone who is told what happened, after it was recorded."""

        tick_s: float | None

        def told(self, events: Sequence[Recorded | Noted | Asked]) -> None:
            """Take note of the *events* of one turn."""

        def tick(self) -> None:
            """Be called about every ``tick_s`` seconds while nothing happens."""


# How often what queues have seen is recorded while they are in use, for who looks from outside.
MEASURE_S = 2.0
MEASURE_SHARE = 0.01  # of a long run: the record does not grow with its length
# While functions that take no time follow one another, the loop only looks now and then whether one
# of them takes longer: then others are to be woken, and it has its turn itself.
WATCH_S = 0.002
# And so often whether any of them has been under way for long.
LOOK_S = 0.1
_MEASURE = ("measure",)


class Engine:
    """Runs one plan to its end."""

    def __init__(  # noqa: PLR0913 - the parts of a run, each with its seam
        self,
        plan: Plan,
        *,
        scheduler: Scheduler,
        journal: Journal,
        runners: Mapping[str, Runner],
        preparer: Preparer,
        clock: Clock,
        inbox: Inbox,
        queues: Queues | None = None,
        secrets: Secrets | None = None,
        observers: Sequence[Observer] = (),
        sample_s: float = SAMPLE_S,
    ) -> None:
        """Put the parts of a run together; the GIL is looked at every *sample_s*."""
        self.plan, self.scheduler, self.journal = plan, scheduler, journal
        self.runners, self.preparer, self.clock, self.inbox = runners, preparer, clock, inbox
        self.queues, self.secrets = queues, secrets
        self.observers = observers
        self._turns = allocate_lock()  # one turn at a time, whichever thread takes it
        self._finished: Finished | None = None
        self._broken = False
        self._waits_until: float | None = None
        self._threads = self._engaged(runners)
        self._sampler = None if self._threads is None else Sampler(self._threads, sample_s)
        self._timers: list[tuple[float, int, tuple[Any, ...]]] = []
        self._armed = 0
        self._needed = _outputs_needed(plan)
        self._outputs: dict[str, dict[str, Any]] = {}
        self._items: dict[str, str] = {}  # of instances that are under way, as JSON text
        self._changing = {name for name, task in plan.tasks.items() if not _is_constant(task)}
        ticks = [observer.tick_s for observer in observers if observer.tick_s is not None]
        self._tick_s = min(ticks, default=None)
        self._next_tick = clock.now()

    def _engaged(self, runners: Mapping[str, Runner]) -> ThreadRunner | None:
        """Let the threads of functions take turns themselves, where all tasks are functions.

        A turn on the thread that has just ended an attempt costs no switch of threads. What starts
        programs is left to the loop: they would inherit what a function did to its thread, such as
        its signal mask or its processors.
        """
        threads: Any = runners.get("thread")
        if not hasattr(threads, "engage"):
            return None
        alone = len(runners) == 1 and self.queues is None
        threads.engage(self.inbox, self.take_turns if alone else self.inbox.call)
        found: ThreadRunner = threads
        return found

    def run(self) -> Finished:
        """Run until every task has ended, and return how.

        Raises ``JournalError`` where the record could not be kept; everything was stopped then.
        """
        try:
            with self._turns:
                self._finished = self._turn([])
            while self._finished is None:
                self._wait()
                with self._turns:
                    if self._finished is None:
                        self._finished = self._turn(self._events())
        except JournalError:
            self._broken = True
            self._abort(self.plan.grace_s)  # nothing is left running without a record
            raise
        except BaseException:
            self._broken = True
            self._abort(min(1.0, self.plan.grace_s))  # a bug: who knows what is still heard of
            raise
        finally:
            if self._sampler is not None:
                self._sampler.close()
        return self._finished

    def take_turns(self) -> None:
        """Take turns on the calling thread, one of a function, until nothing is left to look at.

        Where another has the turn this looks at that, too. Errors are the loop's: it raises them.
        """
        while self.inbox and self._turns.acquire(blocking=False):
            try:
                if self._finished is not None or self._broken:
                    self.inbox.call()
                    return
                self._finished = self._turn(self._events(), here=True)
                due = self._due_at()
            except Exception as error:  # noqa: BLE001 - the loop raises it
                self._broken = True
                self.inbox.put(Broken(error, self.clock.now()))
                return
            finally:
                self._turns.release()
            waits_until = self._waits_until
            sooner = due is not None and (waits_until is None or due < waits_until)
            if self._finished is not None or sooner:
                self.inbox.call()

    def _abort(self, grace_s: float) -> None:
        """End what runs without a record of it: TERM, grace, KILL."""
        scheduler = self.scheduler
        for force in (False, True):
            for node in scheduler.running.values():
                runner = self.runners[node.spec.mode]
                runner.stop(node.name, node.attempt, force=force)
            due = self.clock.now() + grace_s
            while scheduler.running and (left_s := due - self.clock.now()) > 0:
                self.inbox.wait(left_s)
                for event in self.inbox.take():
                    scheduler.apply(event)

    def _events(self) -> list[Event]:
        """Return what has happened, and the timers that are due."""
        events = self.inbox.take()
        if self._timers:
            now = self.clock.now()
            while self._timers and self._timers[0][0] <= now:
                timer = heappop(self._timers)[2]
                events += self._measured() if timer is _MEASURE else [Fired(timer, now)]
        return events

    def _wait(self) -> None:
        """Wait until there is something to do here."""
        threads, inbox = self._threads, self.inbox
        if inbox:  # left by a thread that would have taken the turn, had it not been taken here
            return
        self._waits_until = due = self._due_at()
        if threads is None:
            inbox.wait(self._left_s(due))
            return
        while due is None or due > self.clock.now():
            if self._has_come(threads, due):
                return

    def _has_come(self, threads: ThreadRunner, due: float | None) -> bool:
        """Wait for a moment, and see to functions; tell whether there is something to do here."""
        inbox, begun = self.inbox, threads.begun
        if not threads.is_watched:
            left_s = self._left_s(due)
            if inbox.wait(LOOK_S if left_s is None else min(left_s, LOOK_S)):
                return True
            threads.is_watched = threads.is_busy and threads.begun == begun
        elif threads.has_news():
            if inbox.wait(WATCH_S) or (threads.begun == begun and inbox):
                return True
            if threads.begun == begun:  # they do not get on
                threads.wake_all()
        elif threads.is_busy:
            assert self._sampler is not None
            return self._sampler.wait(inbox)
        else:
            threads.is_watched = False
            threads.is_watched = threads.has_news()  # it came between the two
        return False

    def _measured(self) -> list[Measured]:
        """Return what the queues that are in use have seen, and ask again soon."""
        self._arm(_MEASURE, max(MEASURE_S, self.clock.now() * MEASURE_SHARE))
        assert self.queues is not None
        return self.queues.measured(self.queues.in_use())

    def _due_at(self) -> float | None:
        """Return when the loop has something to do by itself."""
        due = self._timers[0][0] if self._timers else None
        if self._tick_s is not None:
            due = self._next_tick if due is None else min(due, self._next_tick)
        return due

    def _left_s(self, due: float | None) -> float | None:
        return None if due is None else max(0.0, due - self.clock.now())

    def _turn(self, events: Sequence[Event], *, here: bool = False) -> Finished | None:
        """Fold, decide, record, tell, act; *here* is a thread that goes on with what was launched.

        Returns how the run finished, if it has.
        """
        told = self._heard(events)
        launches, others, finished = self._decided(told)
        if recorded := [event for event in told if event.__class__ in KINDS]:
            self._record(recorded, launches)
        self._tell(told)
        for action in others:
            self._act(action)
        for started in launches:
            self._launch(started.task, started.attempt)
        if launches and self._threads is not None:
            self._threads.wake(here=here)
        return finished

    def _decided(self, told: list[Any]) -> tuple[list[Started], list[Any], Finished | None]:
        """Return what is to be launched, what else is to be done, and how the run finished.

        What are facts by now is added to what is to be *told*.
        """
        launches: list[Started] = []
        others: list[Any] = []
        finished: Finished | None = None
        for action in self.scheduler.decide(self.clock.now()):
            kind: type = action.__class__
            if kind is Started:
                launches.append(action)  # type: ignore[arg-type]
            elif kind is Finished:
                finished = action  # type: ignore[assignment]
            elif kind in KINDS:
                told.append(action)
            else:
                others.append(action)
                if kind is Over and self.queues is not None:
                    told += self.queues.measured(action.queues, over=True)  # type: ignore[union-attr]
        told += launches
        if finished is not None:
            told.append(finished)
        return launches, others, finished

    def _record(self, recorded: Sequence[Recorded], launches: Sequence[Started]) -> None:
        """Record what is about to be done. Raises ``JournalError``; then nothing is launched."""
        try:
            self.journal.append(recorded)
        except JournalError:
            for started in launches:  # nobody has to wait for their end
                del self.scheduler.running[started.task]
            raise
        if self.queues is not None:
            for event in recorded:
                if event.__class__ is Arrived:
                    self.queues.delivered(event.task, event.item)

    def _heard(self, events: Sequence[Event]) -> list[Any]:
        """Fold *events*, without the values of secrets, and return what is to be told."""
        secrets = self.secrets
        if secrets is None:
            return self._folded(events)
        told = self._folded([secrets.heard(event) for event in events])
        return [secrets.told(event) for event in told]

    def _folded(self, events: Sequence[Event]) -> list[Any]:
        """Fold *events* and return those that count, and those that are only told."""
        told: list[Any] = []
        for event in events:
            if event.__class__ is Noted or event.__class__ is Asked:
                told.append(event)
                continue
            if event.__class__ is Broken:
                raise event.error
            counted = self.scheduler.apply(event)
            if counted is not None and counted.__class__ in KINDS:
                told.append(counted)
                if counted.__class__ is Ended:
                    if self._needed and counted.outcome == "ok":
                        self._keep_output(counted)
                elif counted.__class__ is Expanded:
                    self._keep_items(counted)
                elif counted.__class__ is Arrived:
                    self._keep_item(counted)
            elif event.__class__ is Arrived and self.queues is not None:
                self.queues.give_back(event.task, event.item, recorded=False)  # it came too late
        return told

    def _tell(self, told: list[Any]) -> None:
        if told:
            for observer in self.observers:
                observer.told(told)
        if self._tick_s is not None and self.clock.now() >= self._next_tick:
            self._next_tick = self.clock.now() + self._tick_s
            for observer in self.observers:
                observer.tick()

    def _act(self, action: Any) -> None:
        match action:
            case Stop(name, attempt, force):
                runner = self.runners[self.scheduler.nodes[name].spec.mode]
                runner.stop(name, attempt, force=force)
            case Arm(timer, delay_s):
                self._arm(timer, delay_s)
            case Resolve(name):
                self.inbox.put(self._resolve(name))
            case Forget(name):
                self._items.pop(name, None)
            case _:
                assert self.queues is not None
                self._act_on(self.queues, action)

    def _act_on(self, queues: Queues, action: Any) -> None:
        match action:
            case Feed(name, most):
                queues.feed(name, most)
            case EndQueue(name):
                queues.end(name)
            case CloseQueue(name, drain):
                queues.close(name, drain=drain)
            case StopFeed(name):
                queues.stop_feed(name)
            case GiveBack(name):
                queues.give_back(name.partition(".")[0], self._items[name], recorded=True)
            case SetAside(queue, name):
                queues.set_aside(queue, name, self._items[name])
            case Over(names):
                queues.let_pipes_go(names)

    def _arm(self, timer: tuple[Any, ...], delay_s: float) -> None:
        self._armed += 1
        heappush(self._timers, (self.clock.now() + delay_s, self._armed, timer))

    def _launch(self, name: str, number: int) -> None:
        node = self.scheduler.nodes[name]
        spec = node.spec
        index = node.order if node.group is not None else None
        if self.secrets is not None and name in self._items:
            secret = self.secrets.held_by(self._items[name])
            if secret is not None:
                message = f"its item contains the secret `{secret}`"
                self._refuse(name, number, Failure("OutputError", message))
                return
        try:
            scope = self._scope(spec, index, name) if spec.name in self._changing else None
            attempt = self.preparer.attempt(spec, name, number, scope)
        except (TemplateError, jsonio.OutputError) as error:
            self._refuse(name, number, Failure("TemplateError", str(error)))
            return
        self.runners[spec.mode].start(attempt)

    def _refuse(self, name: str, number: int, failure: Failure) -> None:
        """Let an attempt that was not launched end, in the next turn."""
        now = self.clock.now()
        self.inbox.put(Ended(name, number, "launch_failed", now, error=failure, final=True))

    def _scope(self, spec: PlanTask, index: int | None, name: str) -> Mapping[str, Any]:
        scope = self.preparer.scope(spec, index, self._outputs)
        if name in self._items:
            scope["item"] = jsonio.loads(self._items[name])
        return scope

    # Outputs, conditions, items: what templates need while the run goes on

    def _keep_output(self, event: Ended) -> None:
        """Keep an output that some template will look up."""
        name, _, index = event.task.partition(".")
        if name not in self._needed:
            return
        value = jsonio.loads(event.output or "null")
        if not index:
            self._outputs[name] = {"output": value}
            return
        outputs = self._outputs[name]["output"]
        if self.plan.tasks[name].source is not None:  # who knows how many there will be
            outputs += [None] * (int(index) + 1 - len(outputs))
        outputs[int(index)] = value

    def _make_room(self, name: str, count: int) -> None:
        if name in self._needed:
            self._outputs[name] = {"output": [None] * count}

    def _keep_items(self, event: Expanded) -> None:
        self.plan.tasks[event.task].items = jsonio.loads(event.items)
        self._make_room(event.task, event.instances)

    def _keep_item(self, event: Arrived) -> None:
        self._items[f"{event.task}.{event.number}"] = event.item

    def _resolve(self, name: str) -> Event:
        """Look at the condition, or the items, of a task; both are quick and touch nothing."""
        node = self.scheduler.nodes[name]
        spec = node.spec
        index = node.order if node.group is not None else None
        now = self.clock.now()
        try:
            scope = self._scope(spec, index, name)
            if spec.many and node.group is None:
                found = items_of(templates.fill(spec.foreach, scope))
                return Expanded(name, jsonio.dumps(found), len(found), now)
            return Decided(name, condition(spec.when, scope), now)
        except (TemplateError, jsonio.OutputError) as error:
            failure = Failure("TemplateError", str(error))
        except ValueError as error:
            failure = Failure("TemplateError", f"`foreach`: {error}")
        return Ended(name, 0, "launch_failed", now, error=failure, final=True)

    def prepare(self, recalled: Iterable[Recorded] = ()) -> None:
        """Make room for the outputs of tasks and instances that are known; others are null.

        *recalled* is what counts of earlier sessions of the run.
        """
        if self.plan.queues:
            self._arm(_MEASURE, MEASURE_S)
        for name in self._needed:
            task = self.plan.tasks[name]
            if task.count is not None:
                self._make_room(name, task.count)
            else:
                self._outputs[name] = {"output": [] if task.many else None}
        for event in recalled:
            if event.__class__ is Ended and event.outcome == "ok":
                self._keep_output(event)
            elif event.__class__ is Expanded and event.items != "null":
                self._keep_items(event)
            elif event.__class__ is Arrived:
                self._keep_item(event)


def _outputs_needed(plan: Plan) -> set[str]:
    """Return the tasks whose output is looked up."""
    return {
        name
        for task in plan.tasks.values()
        if task.templated
        for value in _late_values(task)
        for _, template in templates.templates(value)
        for name in template.outputs
    }


def _late_values(task: PlanTask) -> tuple[Any, ...]:
    return (
        task.command, task.args, task.kwargs, task.env, task.cwd, task.when, task.foreach,
        task.items,
    )  # fmt: skip


def _is_constant(task: PlanTask) -> bool:
    """Tell whether nothing is left to fill in when an attempt starts."""
    return not (
        task.templated
        and any(True for value in _late_values(task) if value for _ in templates.templates(value))
    )
