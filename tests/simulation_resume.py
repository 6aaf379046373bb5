"""A seeded simulation of runs that go on: orch is killed at any turn, or a run is resumed.

As in ``simulation`` and ``simulation_pipelines``, but orch dies between two turns: after it has
recorded one and before it acts on that, or before it has recorded it, so that it never was. What
failed or was stopped is taken up again too. ``Ledger`` keeps in mind what the record says of each
task, and works out what of it must count in the next session, in other words than ``recovery``.
Each session is looked at as if it was a run of its own, in which what is kept has ended before the
first turn, and in which the numbers of attempts begin at 1.

Of pipelines whose queues deliver again a part is kept: the world hands what was published and is
not done to the next session, and none of it may be lost, or come to a task twice.

``python -m tests.simulation_resume 20000 [SEED]`` runs that many seeds from SEED.
"""

import sys
from collections import Counter
from pathlib import Path
from random import Random

from orchestrator.events import (
    KINDS,
    Arrived,
    Cancelled,
    Drained,
    Ended,
    Expanded,
    Finished,
    Fired,
    Postponed,
    Resumed,
    Skipped,
    Started,
    StopAsked,
)
from orchestrator.nodes import Arm, CloseQueue, GiveBack
from orchestrator.recovery import CRASH, History
from orchestrator.report.document import View, _Line
from orchestrator.scheduler import Scheduler
from tests.pipeline_books import Part
from tests.simulation import FINAL, Verdict, Violation, World, main
from tests.simulation_pipelines import PipelineWorld

MOST_SESSIONS = 5
BEFORE = (0, 0, 0)  # when what is kept had ended
OF_ATTEMPTS = ("retry", "held", "left", "grace", "timeout")


def task_of(name):
    """Return the task that *name*, of it or of an instance, belongs to."""
    return name.partition(".")[0]


# What the record says


class Ledger:
    """What is on record of each task and instance, over all sessions."""

    def __init__(self, plan):
        self.plan = plan
        self.last, self.open = {}, {}  # the number of the last attempt; the one under way
        self.crashes = Counter()  # how often each was one that may have ended orch
        self.well = set()  # those of whom the last attempt went well
        self.finals, self.outcomes = {}, set()
        self.known = set()  # those of whom anything is recorded that counts
        self.failures, self.cut = set(), set()
        self.begun, self.fed = set(), set()  # of whom an attempt was started, or an item came
        self.arrived, self.drained = Counter(), set()
        self.came = {}  # where each item came
        self.rest = set()  # queues of which the rest is delivered
        self.expanded = {}

    def forget_all_but(self, kept, expanded):
        """Let only *kept* count, and of tasks that are *expanded* how many instances they have."""
        self.finals = {name: state for name, state in self.finals.items() if name in kept}
        self.failures &= kept
        self.cut &= kept
        self.begun &= kept
        self.fed &= kept
        self.well &= kept
        both = kept | expanded
        self.known &= both
        self.fed |= both & set(self.arrived)
        self.drained &= both
        self.arrived = Counter({name: n for name, n in self.arrived.items() if name in both})
        self.expanded = {name: n for name, n in self.expanded.items() if name in both}

    def note(self, recorded, nodes):
        """Take note of a turn, and of the states of *nodes* after it."""
        for event in recorded:
            if name := getattr(event, "task", ""):
                self.known.add(name)
                self._note_of(name, event)
            elif event.__class__ in (Resumed, Finished):
                _need(not self.open, f"{event.__class__.__name__}, and {self.open} have not ended")
        for name, node in nodes.items():
            if node.state in FINAL:
                self.finals.setdefault(name, node.state)

    def _note_of(self, name, event):
        match event:
            case Started(_, number, _):
                last, under_way = self.last.get(name, 0), self.open.get(name)
                _need(under_way is None, f"{name}: {number} starts while {under_way} runs")
                _need(number == last + 1, f"{name}: attempt {number} after {last}")
                self.last[name] = self.open[name] = number
                self.well.discard(name)
                self.begun.add(name)
            case Postponed(_, number, _):
                _need(self.open.pop(name, None) == number, f"{event} and it does not run")
                self.last[name] = number - 1
                self.begun.discard(name)
            case Ended(_, number) if number:
                _need(self.open.pop(name, None) == number, f"{event} and it does not run")
                _need((name, number) not in self.outcomes, f"{name}.{number} ends twice")
                self.outcomes.add((name, number))
                if event.outcome == "ok":
                    self.well.add(name)
                self.crashes[name] += event.error is not None and event.error.type == CRASH
            case Skipped() if event.failure:
                self.failures.add(name)
            case Cancelled():
                self.cut.add(name)
            case Expanded(_, _, count):
                self.expanded[name] = count
            case Arrived(_, number, item):
                _need(number == self.arrived[name], f"{event} after {self.arrived[name]} items")
                _need(item not in self.came, f"{event} and it was {self.came.get(item)}")
                self.came[item] = f"{name}.{number}"
                self.arrived[name] += 1
                self.fed.add(name)
            case Drained():
                self.fed.add(name)
                self.drained.add(name)

    # What counts

    def instances(self, task):
        """Return the instances of *task* that have ended."""
        return [name for name in self.finals if name.startswith(f"{task}.")]

    def is_well(self, name):
        """Tell whether *name*, a task or an instance, has ended well."""
        spec, state = self.plan.tasks[task_of(name)], self.finals.get(name)
        if name in self.cut:
            return False
        if state == "failed":
            queue = self.plan.queues.get(spec.source)
            set_aside = "." in name and queue is not None and queue.dead_letter is not None
            return spec.allow_failure or set_aside
        return state == "succeeded" or (state == "skipped" and name not in self.failures)

    def is_all_well(self, task):
        """Tell whether *task* has ended, and all of it well."""
        instances = self.instances(task)
        if task not in self.finals or task in self.cut:
            return False
        return all(map(self.is_well, instances)) if instances else self.is_well(task)

    def begun_tasks(self):
        """Return the tasks of which an attempt was started, or what follows from their start."""
        counted = {name for name in self.expanded if self.plan.tasks[name].count is not None}
        return set(map(task_of, self.begun)) | self.fed | counted

    def rest_of(self, block, left, recorded):
        """Return what those *left* of a pipeline read, if what they need of it is known."""
        specs = [self.plan.tasks[name] for name in left]
        queues = {spec.consume or spec.source for spec in specs}
        has_begun = not self.begun_tasks().isdisjoint(block)
        return queues if has_begun and recorded >= queues else set()

    def kept(self, changed, recorded):
        """Return the tasks, and the instances, of which all is kept; and tasks of which some.

        Of the queues *recorded* it is known what was not delivered.
        """
        plan, whole, some = self.plan, set(), set()
        self.rest = set()
        blocks = {name: (name,) for name in plan.tasks}
        blocks |= {name: line.members for line in plan.pipelines for name in line.members}
        before = -1
        while len(whole) != before:
            before = len(whole)
            for block in blocks.values():
                needs = {need for name in block for need in plan.tasks[name].needs}
                well = [name for name in block if self.is_all_well(name)]
                if not (needs <= whole and block_is_old(block, changed)):
                    continue
                if len(well) < len(block):
                    left = set(block).difference(well)
                    queues = self.rest_of(block, left, recorded)
                    self.rest |= queues
                    some |= {name for name in left if queues and plan.tasks[name].source}
                    well = well if queues else []
                whole.update(well)
        kept = whole.union(*map(self.instances, whole))
        for name in some:
            kept.update(filter(self.is_well, self.instances(name)))
        for name, spec in plan.tasks.items():
            alone = blocks[name] == (name,) and name in self.expanded
            as_before = name not in changed and whole.issuperset(spec.needs)
            if alone and as_before and name not in whole:
                some.add(name)
                kept.update(filter(self.is_well, self.instances(name)))
        return kept, some

    def verdict(self, name):
        """Return how *name*, which is kept, has ended."""
        state = self.finals[name]
        idle = state == "skipped" and self.plan.tasks[task_of(name)].skip is None
        return Verdict(state, BEFORE, "idle" if idle else "good")


def block_is_old(block, changed):
    """Tell whether nobody of *block* has changed."""
    return set(block).isdisjoint(changed)


def _need(holds, text):
    if not holds:
        raise Violation(text)


# What is looked at


class Shifted:
    """Shows a session to a watch as if the numbers of attempts began with it."""

    def __init__(self, watch, base):
        self.watch, self.base = watch, base

    def __getattr__(self, name):
        return getattr(self.watch, name)

    def shift(self, event):
        """Return *event*, or action, with the number that an attempt has in this session."""
        if event.__class__ in (Fired, Arm) and event.timer[0] in OF_ATTEMPTS:
            kind, task, number = event.timer
            return event._replace(timer=(kind, task, number - self.base.get(task, 0)))
        base = self.base.get(getattr(event, "task", None), 0)
        if base and getattr(event, "attempt", 0):
            return event._replace(attempt=event.attempt - base)
        return event

    def heard(self, event, counted, stamp):
        """Take note of *event* and of what it counted as."""
        self.watch.heard(self.shift(event), self.shift(counted), stamp)

    def fact(self, event, stamp):
        """Take note of what counted, or was decided, and object."""
        self.watch.fact(self.shift(event), stamp)

    def check(self, actions):
        """Check the whole after a turn."""
        self.watch.check([self.shift(action) for action in actions])


def recall(watch, ledger, now):
    """Let *watch* know what had ended before the session that it looks at."""
    watch.time = watch.moved = now
    watch.kept = {name: ledger.verdict(name) for name in ledger.finals}
    watch.finals |= ledger.finals
    watch.expanded |= {name: (count, (0, 2, 0)) for name, count in ledger.expanded.items()}
    for name in ledger.begun:
        watch.unit(name).begun = True


def recall_pipelines(watch, ledger):
    """Let *watch* know of the pipelines that are over, and of those that go on."""
    begun_tasks = ledger.begun_tasks()
    for group in watch.groups:
        names = [stage.spec.name for stage in group.stages]
        group.anew = any(line.spec.name in ledger.rest for line in group.lines)
        if not group.anew and names[0] not in watch.kept:
            continue
        if not group.anew:
            group.begun = None if begun_tasks.isdisjoint(names) else (-1, 0, 0)
            group.over = group.let_go = True
        for stage, name in zip(group.stages, names, strict=True):
            instances = ledger.instances(name)
            if name in watch.kept:
                stage.state, stage.at = ledger.finals[name], BEFORE
            elif stage.streams:
                stage.drained = name in ledger.drained
                stage.unopened = not stage.drained
                came = [f"{name}.{number}" for number in range(ledger.arrived[name])]
                stage.pending = [each for each in came if each not in instances]
            else:
                continue
            stage.arrived = ledger.arrived[name]
            for each in instances if ledger.plan.tasks[name].many else [name]:
                part = stage.parts[each] = Part(each, stage, ledger.finals[each])
                part.ended_in = -1
                stage.seen.add(part.state)


# The worlds


class Resumes:
    """A world in which orch dies, or ends in vain, and the run goes on."""

    def __init__(self, seed, make=Scheduler):
        self.deaths = rng = Random(f"deaths {seed}")
        self.deadly = rng.choice((0.0, 0.02, 0.1, 0.1, 0.3))
        self.session, self.found, self.past = 1, None, []
        self.forced = rng.random() < 0.5  # what has ended orch twice is started again
        self.refused = frozenset()
        super().__init__(seed, make)
        self.ledger = Ledger(self.plan)

    def fresh(self):
        """Return a scheduler that knows what earlier sessions have left."""
        scheduler = super().fresh()
        if self.found is not None:
            scheduler.recall(self.found.events, self.found.attempts, self.refused)
        return scheduler

    def run(self):
        """Run, and go on where it did not succeed. Raises ``Violation``."""
        while True:
            finished = super().run()
            self.check_end(finished)
            last = self.session >= MOST_SESSIONS or self.deaths.random() < 0.4
            if finished.state == "succeeded" or last:
                return finished
            self.resume()

    def keep(self, recorded):
        """Record a turn, unless orch dies before; tell whether it lives to act on it."""
        dies = self.session < MOST_SESSIONS and self.deaths.random() < self.danger()
        if dies and self.deaths.random() < 0.4:
            self.die()
            return False
        super().keep(recorded)
        self.ledger.note(recorded, self.scheduler.nodes)
        if dies and not any(event.__class__ is Finished for event in recorded):
            self.die()
            return False
        return True

    def danger(self):
        """Return how probable it is that orch dies in this turn."""
        return self.deadly

    def die(self):
        """End orch, and go on with what is recorded."""
        self.resume()
        self.take_turn([])

    def resume(self):
        """Begin a session as ``orch resume`` does."""
        rng, ledger = self.deaths, self.ledger
        tasks = list(self.plan.tasks)
        changed = rng.sample(tasks, 1) if rng.random() < 0.3 else []
        late = [Ended(name, number, "ok", 0.0) for name, number in ledger.open.items()]
        history = getattr(self.make, "history", History)
        record = [event for turn in (*self.past, *self.record) for event in turn]
        crash = rng.choice((None, "SIGSEGV", "SIGSEGV")) if ledger.open else None
        recorded = self.recorded()
        found = self.found = history(self.plan, record).recovery(changed, crash, recorded)
        kept, some = ledger.kept(changed, recorded)
        self.check_recovery(kept, some)
        self.session += 1
        opening = [ended._replace(at=self.now) for ended in found.lost]
        opening.append(Resumed(self.session, found.again, changed, self.now))
        self.trace.append((self.now, [], opening))
        self.past += [*self.record, opening]
        self.record = []
        ledger.note(opening, {})
        self.check_crashes(crash)
        ledger.forget_all_but(frozenset(kept), frozenset(some))
        self.begin_session()
        self.check_begin()
        if late and rng.random() < 0.3:
            self.post(self.some_time(), rng.choice(late))

    def recorded(self):
        """Return the queues of which it is on disk what was not delivered."""
        return frozenset()

    def check_recovery(self, kept, some):
        """Object where more is run again than must be, or less, or numbers are lost."""
        found, ledger = self.found, self.ledger
        again = Counter(found.again)
        twice = [name for name, count in again.items() if count > 1]
        _need(not twice, f"{twice} are named twice among what runs again")
        needless = kept.intersection(again)
        _need(not needless, f"{min(needless, default='')} could be kept and runs again")
        tasks = set(map(task_of, kept))
        _need(found.kept == tasks, f"kept: {sorted(found.kept)}, must be {sorted(tasks)}")
        missing = ledger.known - kept - some - set(again)
        _need(not missing, f"{min(missing, default='')} cannot be kept and is not to run again")
        attempts = {name: count for name, count in ledger.last.items() if count}
        _need(found.attempts == attempts, f"attempts: {found.attempts}, in truth {attempts}")
        rest = ledger.rest
        _need(found.undelivered == rest, f"undelivered: {found.undelivered}, must be {rest}")
        lost = {ended.task: ended.attempt for ended in found.lost}
        _need(lost == ledger.open, f"lost: {lost}, in truth {ledger.open}")

    def check_crashes(self, crash):
        """Object where it is not known who may have ended orch, and refuse those who did twice."""
        modes = {name: task.mode for name, task in self.plan.tasks.items()}
        for ended in self.found.lost:
            guilty = crash is not None and modes[task_of(ended.task)] == "thread"
            _need((ended.error.type == CRASH) == guilty, f"{ended}: it crashed: {guilty}")
        ledger, crashed = self.ledger, set(self.found.crashed)
        twice = {name for name, count in ledger.crashes.items() if count > 1} - ledger.well
        _need(crashed == twice, f"crashed twice: {crashed}, in truth {twice}")
        # a refusal is noticed when all has started: it is left out where a failure stops the run
        self.refused = frozenset(() if self.forced or self.fail_fast else crashed)

    def begin_session(self):
        """Let nothing be left of the session before but what is on record."""
        self.heap.clear()
        self.lives.clear()
        self.turn, self.stop_at, self.finished = 0, -1.0, None
        self.scheduler = self.fresh()
        watch = self.watcher(self.plan, self.scheduler, fail_fast=self.fail_fast)
        recall(watch, self.ledger, self.now)
        watch.barred = self.refused
        self.watch = Shifted(watch, dict(self.ledger.last))
        self.plan_stops()

    def check_begin(self):
        """Object where the scheduler does not know what is kept, or takes more for ended."""
        scheduler, finals = self.scheduler, self.ledger.finals
        known = {name: node.state for name, node in scheduler.nodes.items() if node.state in FINAL}
        _need(known == finals, f"after recall: ended are {known}, must be {finals}")
        _need(not scheduler.running, f"after recall: {list(scheduler.running)} run")
        slots = {"threads": self.plan.threads, "processes": self.plan.processes}
        _need(scheduler.free == slots, f"after recall: free {scheduler.free} of {slots}")
        rest = (scheduler.stopping, scheduler.forced, scheduler.done, scheduler.failures)
        _need(rest == (None, False, False, 0), f"after recall: {rest} of the session before")

    def check_end(self, finished):
        """Object where slots are not given back, or the report says otherwise."""
        free = {pool: self.watch.free(pool) for pool in self.watch.slots}
        _need(self.scheduler.free == free, f"free in the end: {self.scheduler.free}, not {free}")
        view = View(Path(), live=False, meta={"queues": {}})
        for name, task in self.plan.tasks.items():
            view.lines[name] = _Line(task.mode)
            if task.many:
                view.instances[name] = task.count or 0
                view._expand(name, task.count or 0)
        for turn in (*self.past, *self.record):
            for event in turn:
                _need(event.__class__ in KINDS, f"{event} is recorded")
                view.fold(event)
        _need(view.finished == finished, f"the report says {view.finished}, not {finished}")
        for name in self.plan.tasks:
            shown = view._whole(name, {}) if name in view.counts else view._task(name, {})
            instances = shown.get("instances", {})
            if not instances or self.ledger.finals.keys() & instances.keys():
                self.check_shown(name, shown)
            for each, one in instances.items():
                if each in self.ledger.finals:  # some are known to the report alone
                    self.check_shown(each, one)

    def check_shown(self, name, shown):
        """Object where the report says otherwise of *name* than it is."""
        state = self.ledger.finals.get(name)
        _need(shown["state"] == state, f"the report says {name} {shown['state']}, not {state}")
        if "instances" not in shown and name in self.ledger.begun:
            attempts = self.ledger.last.get(name, 0)
            _need(shown["attempts"] == attempts, f"the report says {name}: {shown['attempts']}")


class PlainResumes(Resumes, World):
    """Runs of plain plans that go on."""


class PipelineResumes(Resumes, PipelineWorld):
    """Runs of plans with pipelines that go on; what ended orch is always started again."""

    def __init__(self, seed, make=Scheduler):
        self.cut_short = set()
        self.gentle = Random(f"gentle {seed}").random() < 0.5
        super().__init__(seed, make)
        self.forced = True

    def draw_plan(self, rng):
        """Return what is to be run; in most worlds all that is published is delivered again."""
        plan = super().draw_plan(rng)
        rng = self.deaths
        if rng.random() < 0.7:
            for queue in plan.queues.values():
                queue.delivery, queue.direct = "at_least_once", False
        for task in plan.tasks.values():
            if (task.consume or task.source) and rng.random() < 0.1:
                task.when = "looked at"
            if task.publish and not task.consume and task.items is not None and rng.random() < 0.3:
                task.items, task.foreach = None, "looked at"
        return plan

    def danger(self):
        """Return how probable a death is: more so where a pipeline can go on from what is left."""
        finals, tasks = self.ledger.finals, self.plan.tasks
        for line in self.plan.pipelines:
            specs = [tasks[name] for name in line.members]
            sources = [spec.name for spec in specs if not (spec.source or spec.consume)]
            begun = all(finals.get(name) == "succeeded" for name in sources)
            if self.gentle and begun and not finals.keys() >= set(line.members):
                return max(self.deadly, 0.15)
        return self.deadly

    def check_shown(self, name, shown):
        """Object as others do, but for what was dropped before it could begin anew.

        The report takes that for cancelled.
        """
        dropped = self.ledger.arrived[name] and self.ledger.finals.get(name) == "skipped"
        if not dropped:
            super().check_shown(name, shown)

    def draw_trouble(self, life):
        """Let *life* end otherwise than well; in some worlds not where items come from."""
        if not self.gentle or life.reads is not None:
            super().draw_trouble(life)

    def begin_session(self):
        """Let nothing be left of the session before but what is not delivered."""
        before, found = self.lines, self.found
        super().begin_session()
        self.lay_queues()
        for name in found.undelivered:
            self.lines[name].put(*before[name].owed)
        for name, count in found.arrived.items():
            self.feeders[name].taken = count
        self.cut_short &= found.undelivered
        if found.undelivered and self.deaths.random() < 0.15:  # before all of it has its slots
            self.stop_at = self.now
            self.post(0.0, StopAsked("signal", force=False, at=0.0, signal=2))
        recall_pipelines(self.watch.watch, self.ledger)

    def recorded(self):
        """Return the queues of which it is on disk what was not delivered: mostly all."""
        rng = self.deaths
        again = [name for name, spec in self.plan.queues.items() if spec.delivery != "at_most_once"]
        return frozenset(again if rng.random() < 0.85 else rng.sample(again, len(again) // 2))

    def act(self, action):
        """Take note of who reads a queue no more because nobody reads what comes of it."""
        match action:
            case CloseQueue(name, _):
                tasks = [self.plan.tasks[each] for each in self.plan.queues[name].publishers]
                self.cut_short |= {name, *(task.source for task in tasks)}
            case GiveBack(name):
                self.ledger.came.pop(self.item_of[name], None)
        super().act(action)

    def check_end(self, finished):
        """Object where what was to be delivered to each of them was not."""
        super().check_end(finished)
        if finished.state != "succeeded":
            return
        for name, line in self.lines.items():
            tasks = [self.plan.tasks[each] for each in line.spec.consumers]
            all_stream = all(task.source is not None for task in tasks)
            if line.spec.delivery == "at_least_once" and all_stream and name not in self.cut_short:
                _need(not line.owed, f"{name}: {list(line.owed)} are lost")


def world_of(seed, make=Scheduler):
    """Return the world of *seed*: every other one has pipelines."""
    return (PipelineResumes if seed % 2 else PlainResumes)(seed, make)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], world_of))
