"""A seeded simulation of the scheduler: random plans in a fake world on virtual time.

From a seed come a plan and a world that runs it: attempts end well, badly, late, twice, or never
until they are told to, or not even then; the system has no means to start them; people ask for the
end at odd moments; orch dies and its record is folded again. ``Watch`` checks after every turn what
must hold at any time; ``judge`` says at the end, from the recorded outcomes and the rules of the
interface alone, how every task must have ended.

``python -m tests.simulation 20000 [SEED]`` runs that many seeds from SEED over two processes.
"""

import sys
import time
from collections import Counter
from functools import partial
from heapq import heappop, heappush
from multiprocessing import Pool
from random import Random

from orchestrator.events import (
    KINDS,
    Cancelled,
    Decided,
    Ended,
    Expanded,
    Finished,
    Fired,
    Postponed,
    Retrying,
    Returned,
    Skipped,
    Started,
    StopAsked,
)
from orchestrator.nodes import Arm, Resolve, Stop
from orchestrator.plan.model import POOL_OF, Plan, PlanTask, RetryPolicy
from orchestrator.room import LAST_S, PATIENCE_S
from orchestrator.scheduler import Scheduler

FINAL = ("succeeded", "failed", "skipped", "cancelled")
NEVER = (sys.maxsize, 0, 0)
MAX_TURNS = 3000
EPSILON_S = 1e-6


class Violation(Exception):
    """The scheduler did what it must not do, or did not do what it must."""


# What is to be run


def random_plan(rng):
    """Return a plan of up to 25 tasks; the file order has nothing to do with the needs."""
    size = rng.randint(1, 25) if rng.random() < 0.3 else rng.randint(1, 9)
    orders = list(range(size))
    rng.shuffle(orders)
    names = [f"t{order}" for order in orders]
    tasks = [random_task(rng, names, index, orders[index]) for index in range(size)]
    tasks.sort(key=lambda task: task.order)
    return Plan(
        "simulated",
        "/",
        {task.name: task for task in tasks},
        threads=rng.choice((1, 1, 1, 2, 3)),
        processes=rng.randint(1, 3),
        timeout_s=rng.choice((3.0, 8.0, 20.0)) if rng.random() < 0.15 else None,
        grace_s=rng.choice((0.5, 2.0)),
    )


def give_resources(plan, rng):
    """Let some tasks of *plan* take some of two resources, in three worlds of ten."""
    if rng.random() < 0.7:
        return
    plan.resources = {"a": 1, "b": rng.randint(1, 3)}
    for task in plan.tasks.values():
        joined = task.source or task.publish is not None or task.consume is not None
        if rng.random() < (0.4 if joined else 0.6):
            names = rng.sample(("a", "b"), rng.choice((1, 1, 2)))
            task.resources = {name: rng.randint(1, plan.resources[name]) for name in names}
    for line in plan.pipelines:
        for name in plan.resources:
            members = [plan.tasks[member] for member in line.members]
            need = sum(task.resources.get(name, 0) * (task.replicas or 1) for task in members)
            plan.resources[name] = max(plan.resources[name], need)


def random_task(rng, names, index, order):
    """Return task number *index*: it needs some of those before it."""
    task = PlanTask(names[index], order, rng.choice(("thread", "thread", "process", "subprocess")))
    count = min(index, rng.choice((0, 1, 1, 2, 2, 4)))
    task.needs = tuple(rng.sample(names[:index], count))
    task.run_when = rng.choice(("succeeded",) * 5 + ("failed", "always", "always"))
    task.allow_failure = rng.random() < 0.15
    task.priority = rng.choice((0, 0, 0, 1, 5, -2))
    if rng.random() < 0.4:
        task.retry = RetryPolicy(
            attempts=rng.randint(1, 4),
            delay_s=rng.choice((0.0, 0.5, 1.0)),
            max_delay_s=1.5,
            jitter=rng.random() < 0.5,
        )
    task.timeout_s = rng.choice((0.5, 1.0, 3.0)) if rng.random() < 0.3 else None
    task.grace_s = rng.choice((0.0, 0.5, 2.0))
    task.when = "looked at" if rng.random() < 0.12 else None
    if rng.random() < 0.15:
        task.items = [None] * rng.choice((0, 1, 2, 3, 4))
    elif rng.random() < 0.12:
        task.foreach = "looked at"
    task.skip = "left out (--skip)" if rng.random() < 0.05 else None
    return task


# The world


class Life:
    """An attempt that is under way; *plan* counts how often its end was planned anew."""

    __slots__ = ("name", "number", "plan", "spec", "told")

    def __init__(self, name, number, spec):
        self.name, self.number, self.spec = name, number, spec
        self.plan, self.told = 0, False


class World:
    """Does what the engine and the runners do, with chance instead of programs."""

    stuck = 0.7  # how often a thread does not stop

    def __init__(self, seed, make=Scheduler):
        self.seed, self.make = seed, make
        self.rng = rng = Random(seed)
        self.plan = self.draw_plan(rng)
        give_resources(self.plan, Random(f"resources {seed}"))  # apart, as the system below
        self.run_id, self.fail_fast = f"run{seed}", rng.random() < 0.15
        self.scheduler = make(self.plan, self.run_id, fail_fast=self.fail_fast)
        self.watch = self.watcher(self.plan, self.scheduler, fail_fast=self.fail_fast)
        self.heap, self.pushed, self.now, self.turn = [], 0, 0.0, 0
        self.lives, self.stop_at = {}, -1.0
        self.record, self.trace = [], []
        self.finished = None
        self.system = Random(f"system {seed}")  # apart: worlds without a shortage stay as they are
        self.means, self.refuses = None, 0.0
        self.plan_stops()
        self._plan_shortage()
        for _ in range(rng.choice((0, 0, 1, 3))):
            name = rng.choice((*self.plan.tasks, "nobody", "t0.7"))
            number = rng.randint(50, 54) if name != "nobody" else 0
            self.post(rng.random() * 8, Ended(name, number, "ok", 0.0))

    def draw_plan(self, rng):
        """Return what is to be run."""
        return random_plan(rng)

    def watcher(self, plan, scheduler, *, fail_fast):
        """Return who looks over the scheduler's shoulder."""
        return Watch(plan, scheduler, fail_fast=fail_fast)

    def plan_stops(self):
        """In some worlds people ask for the end, once or twice."""
        rng = self.rng
        if rng.random() < 0.35:
            first_s = rng.choice((0.0, 0.5, 1.0, 2.0, 3.0, 5.0))
            self.stop_at = self.now + first_s
            self.post(first_s, StopAsked("signal", rng.random() < 0.15, 0.0, 2))
            if rng.random() < 0.5:
                delay_s = self.some_time()
                again = StopAsked("signal", rng.random() < 0.8, 0.0, rng.choice((2, 15)))
                self.post(first_s + delay_s, again)

    def _plan_shortage(self):
        """In some worlds only so many attempts can run at once, for some time or for ever."""
        rng = self.system
        if rng.random() < 0.75:
            return
        self.means, self.refuses = rng.choice((0, 0, 1, 1, 2, 3)), rng.choice((0.0, 0.1, 0.5))
        for _ in range(rng.choice((0, 1, 1, 2))):
            means = rng.choice((None, None, 0, 1, 2))
            self.post(rng.choice((0.5, 1.0, 4.0, 20.0, 40.0)), partial(self.find_means, means))

    def find_means(self, means):
        """Let *means* attempts run at once from now on."""
        self.means, self.refuses = means, 0.0

    def is_refused(self, name, number):
        """Tell whether the system does not start an attempt; that is told."""
        full = self.means is not None and len(self.lives) >= self.means
        if not full and self.system.random() >= self.refuses:
            return False
        self.post(self.system.choice((0.0, 0.0, 0.0, 0.5)), Postponed(name, number, "none", 0.0))
        return True

    def some_time(self):
        """Return a delay; few values, so that much happens at once."""
        return self.rng.choice((0.0, 0.0, 0.5, 0.5, 1.0, 1.0, 1.5, 2.0, 4.0))

    def post(self, delay_s, event, life=None):
        """Let *event* happen; as the end of *life* only if no other end was planned since.

        One that can be called only moves the world.
        """
        guard = (life, life.plan) if life is not None else None
        self.post_at(self.now + delay_s, self.rng.random(), event, guard)

    def post_at(self, due, key, event, guard=None):
        """Let *event* happen at *due*; at the same moment by *key*, then as they were posted."""
        self.pushed += 1
        heappush(self.heap, (due, key, self.pushed, event, guard))

    def run(self):
        """Run until the end and return how. Raises ``Violation``."""
        self.take_turn([])
        while self.finished is None:
            if not self.heap:
                raise Violation("hang: nothing will happen any more")
            if self.turn > MAX_TURNS:
                raise Violation("no end")
            self.take_turn(self.events())
        self.watch.ended(self.finished)
        self.crash()
        return self.finished

    def events(self):
        """Return all that happens at the next moment."""
        heap, found = self.heap, []
        self.now = heap[0][0]
        while heap and heap[0][0] <= self.now:
            _, _, _, event, guard = heappop(heap)
            if guard is not None:
                life, plan = guard
                if life.plan != plan:
                    continue
                event = self.over(life, event)
            if callable(event):
                event()
                continue
            if event.__class__ is not Fired:
                event = event._replace(at=self.now)
            found.append(event)
        return found

    def over(self, life, event):
        """Bury *life* and return its end, which may be told again, and otherwise."""
        life.plan += 1
        del self.lives[life.name, life.number]
        if self.rng.random() < 0.2:
            twin = Ended(life.name, life.number, self.rng.choice(("ok", "failed")), 0.0)
            self.post(self.some_time(), twin)
        if event.left_running and self.rng.random() < 0.6:
            self.post(0.5 + self.some_time(), Returned(life.name, life.number, 0.0))
        return event

    def take_turn(self, events):
        """Fold, decide, record, act, as the engine does; and look at it all."""
        scheduler, watch, turn = self.scheduler, self.watch, self.turn
        recorded = []
        for index, event in enumerate(events):
            counted = scheduler.apply(event)
            watch.heard(event, counted, (turn, 0, index))
            self.heard(event, counted)
            if counted.__class__ in KINDS:
                recorded.append(counted)
        actions = scheduler.decide(self.now)
        self.trace.append((self.now, events, actions))
        for action in actions:
            phase = 1 if action.__class__ is StopAsked else 2
            watch.fact(action, (turn, phase, 0))
        recorded += [action for action in actions if action.__class__ in KINDS]
        if not self.keep(recorded):
            return
        for action in actions:
            self.act(action)
        watch.check(actions)
        self.turn += 1
        if self.rng.random() < 0.03:
            self.crash()

    def keep(self, recorded):
        """Record a turn; tell whether orch lives to act on it."""
        self.record.append(recorded)
        return True

    def fresh(self):
        """Return a scheduler that knows nothing of what this session has recorded."""
        return self.make(self.plan, self.run_id, fail_fast=self.fail_fast)

    def heard(self, event, counted):
        """Do what the engine would with *event*, which counted as *counted*."""

    def act(self, action):
        """Do what the engine and the runners would."""
        match action:
            case Started(name, number, _):
                self.launch(name, number)
            case Stop(name, number, force):
                self.stop(name, number, force=force)
            case Arm(timer, delay_s):
                self.post(delay_s, Fired(timer, self.now + delay_s))
            case Resolve(name):
                self.resolve(name)
            case Finished():
                self.finished = action

    def launch(self, name, number):
        """Start an attempt and draw its fate."""
        rng = self.rng
        if self.is_refused(name, number):
            return
        spec = self.scheduler.nodes[name].spec
        life = self.lives[name, number] = Life(name, number, spec)
        fate = rng.random()
        if fate < 0.6:
            self.post(self.some_time(), Ended(name, number, "ok", 0.0), life)
        elif fate < 0.8:
            final = rng.random() < 0.1
            self.post(self.some_time(), Ended(name, number, "failed", 0.0, final=final), life)
        elif fate < 0.88:
            self.post(0.0, Ended(name, number, "launch_failed", 0.0), life)
        elif not self.will_be_told(spec):
            self.post(30.0, Ended(name, number, "ok", 0.0), life)

    def will_be_told(self, spec):
        """Tell whether an attempt of *spec* is told to end sooner or later."""
        stopped = self.stop_at >= self.now or self.scheduler.stopping is not None
        return stopped or spec.timeout_s is not None or self.plan.timeout_s is not None

    def stop(self, name, number, *, force):
        """Tell an attempt to end; only *force* is sure to be heard."""
        rng, life = self.rng, self.lives.get((name, number))
        if life is None or (life.told and not force):
            return
        life.told = True
        if force and life.spec.mode == "thread" and rng.random() < self.stuck:
            ended = Ended(name, number, "timed_out", 0.0, left_running=True)
        elif force:
            ended = Ended(name, number, rng.choice(("stopped", "failed")), 0.0, signal=9)
        elif rng.random() < 0.6:
            ended = Ended(name, number, rng.choice(("stopped", "failed", "ok")), 0.0)
        else:
            return
        life.plan += 1
        self.post(rng.choice((0.0, 0.0, 0.5)), ended, life)

    def resolve(self, name):
        """Look at a condition, or at items."""
        rng, node = self.rng, self.scheduler.nodes[name]
        for _ in range(1 if rng.random() < 0.9 else 2):
            chance = rng.random()
            if chance < 0.1:
                event = Ended(name, 0, "launch_failed", 0.0, final=True)
            elif node.spec.foreach is not None and node.group is None:
                event = Expanded(name, "[]", rng.choice((0, 1, 2, 3)), 0.0)
            else:
                event = Decided(name, chance < 0.7, 0.0)
            self.post(rng.choice((0.0, 0.0, 0.5)), event)

    def crash(self):
        """Fold the record anew; what comes out must be what is known now."""
        folded = fold(self)
        actions = folded.decide(self.now)
        late = [action for action in actions if action.__class__ in KINDS]
        if late:
            raise Violation(f"after folding: decides once more on {late[0]}")
        asked = {action.task for action in actions if action.__class__ is Resolve}
        if folded._resolving != len(asked):
            raise Violation(f"after folding: {folded._resolving} looked at, in truth {asked}")
        lost = looked_at(self.scheduler) ^ asked
        if lost:
            raise Violation(f"after folding: {min(lost)} is to be looked at: {lost <= asked}")
        live, again = snapshot(self.scheduler), snapshot(folded)
        for key, value in live.items():
            if again[key] != value:
                raise Violation(f"after folding: {key}: {difference(value, again[key])}")


# Folding a record


def fold(world):
    """Return a scheduler made anew from the record of *world*, as recovery does it."""
    scheduler = world.fresh()
    for turn in world.record:
        for event in turn:
            scheduler.fold(event)
    return scheduler


def looked_at(scheduler):
    """Return the tasks of which it is not on record how their condition, or items, came out."""
    return {
        name for name, node in scheduler.nodes.items()
        if (node.resolving and node.state == "waiting")
        or (node.state == "ready" and node.spec.when is not None and not node.begun)
    }  # fmt: skip


def snapshot(scheduler):
    """Return what a folded scheduler must know.

    That a delay is over, or a condition was true, is on no record: it waits or is looked at again.
    """
    nodes, counts = {}, Counter()
    for name, node in scheduler.nodes.items():
        state = node.state
        if state == "ready":
            state = "backoff" if node.tries else "waiting" if node.spec.when else "ready"
        nodes[name] = (state, node.attempt, node.held, node.begun)
    for state, count in scheduler.counts.items():
        counts["not running" if state in ("waiting", "ready", "backoff") else state] += count
    return {
        "nodes": nodes,
        "free": scheduler.free,
        "counts": counts,
        "rest": (
            scheduler.stopping, scheduler.forced, scheduler.failures, scheduler.unfinished,
            scheduler.done, sorted(scheduler.running), scheduler._given_up, scheduler._stop_signal,
        ),
    }  # fmt: skip


def difference(before, after):
    """Name the first thing that differs."""
    if not isinstance(before, dict) or before.keys() != after.keys():
        return f"{before} became {after}"
    return next(f"{key}: {value} became {after[key]}" for key, value in before.items()
                if after[key] != value)  # fmt: skip


# What must hold at any time


class Unit:
    """What is on record about a task without instances, or about an instance."""

    __slots__ = (
        "attempt", "begun", "due", "gave_up", "held", "outcomes", "since", "started", "told",
    )  # fmt: skip

    def __init__(self):
        self.started, self.begun = 0, False
        self.attempt = None  # the one that is under way
        self.held = None  # the one whose thread was given up
        self.gave_up = None  # when the wait for that thread was
        self.since = self.due = 0.0
        self.told = None  # when it was told to stop
        self.outcomes = {}


class Watch:
    """Looks over the scheduler's shoulder: keeps books of its own from the record."""

    def __init__(self, plan, scheduler, *, fail_fast):
        self.plan, self.scheduler, self.fail_fast = plan, scheduler, fail_fast
        self.units, self.finals = {}, {}
        self.decided, self.expanded = {}, {}
        self.used = {"threads": 0, "processes": 0}
        self.slots = {"threads": plan.threads, "processes": plan.processes}
        self.taken = dict.fromkeys(plan.resources, 0)
        self.turned_away = set()  # who lacked resources when one behind got a slot
        self.given_up = 0
        self.stop = self.force = NEVER
        self.reason, self.signal, self.cleanups = None, None, frozenset()
        self.time = self.moved = 0.0  # *moved*: when something last brought the run on
        self.asked, self.stalled = set(), None
        self.most = dict.fromkeys(self.slots)  # how many the system had means for
        self.refused_since = dict.fromkeys(self.slots)
        self.finished = None
        self.failures = []
        self.kept = {}  # the verdicts on what an earlier session of the run has ended
        self.barred = frozenset()  # what is not to be started any more

    def unit(self, name):
        """Return the books of *name*."""
        found = self.units.get(name)
        if found is None:
            found = self.units[name] = Unit()
        return found

    def spec(self, name):
        """Return the task that *name*, of it or of an instance, belongs to."""
        return self.plan.tasks[name.partition(".")[0]]

    def heard(self, event, counted, stamp):
        """Take note of *event* and of what it counted as."""
        if event.__class__ is Postponed and counted is not None:
            self.refused(event, counted)
        if counted is not None:
            self.fact(counted, stamp)
        elif event.__class__ is Fired and event.timer[0] == "stall":
            self.stall(stamp)
        elif event.__class__ is Fired and event.timer[0] == "room":
            self.widen(event.timer[1])
        if event.__class__ is Ended and counted is not None and event.attempt:
            self.has_means(event)

    # The system

    def refused(self, event, counted):
        """Object where what the system did not start counts as something else than it must."""
        pool = POOL_OF[self.spec(event.task).mode]
        if self.was_told(event.task, counted):
            self._need(counted.__class__ is Ended, f"{event} and it was told to stop")
            return
        since = self.waits_since(event, pool)
        if since is None or event.at - since < PATIENCE_S - LAST_S - EPSILON_S:
            self._need(counted.__class__ is Postponed, f"{event} counts as {counted}, too early")
        elif event.at - since > PATIENCE_S + EPSILON_S:
            self._need(counted.__class__ is Ended, f"{event} and it has waited since {since}")
        if counted.__class__ is Ended:
            self._need(counted.outcome == "launch_failed", f"{event} counts as {counted}")
            self.gave_up_on(event, pool)

    def was_told(self, name, counted):
        """Tell whether an attempt that was not started was told to end, and counts as such."""
        told = self.unit(name).told is not None
        return told or (counted.__class__ is Ended and counted.outcome in ("timed_out", "stopped"))

    def waits_since(self, _event, pool):
        """Return since when nothing could be started; None where anything may change that."""
        running = sum(unit.attempt is not None for unit in self.units.values())
        return self.refused_since[pool] if running == 1 else None

    def gave_up_on(self, _event, pool):
        """Take note that one was given up, so that the next one is tried at once."""
        self.most[pool] = 1

    def widen(self, pool):
        """Take note that one more may be tried."""
        if self.most[pool] is not None:
            self.most[pool] += 1
            if self.most[pool] >= self.slots[pool]:
                self.most[pool] = None

    def has_means(self, event):
        """Take note that an attempt ended that had what it needed."""
        if event.outcome != "launch_failed":
            self.refused_since = dict.fromkeys(self.slots)

    def is_short(self, pool):
        """Tell whether no more than what runs in *pool* may be tried."""
        most = self.most[pool]
        return most is not None and self.busy(pool) >= most

    def busy(self, pool):
        """Return how many attempts of *pool* run."""
        return sum(
            unit.attempt is not None and POOL_OF[self.spec(name).mode] == pool
            for name, unit in self.units.items()
        )

    def has_kept_slot(self, _name):
        """Tell whether a slot is kept for what is to start."""
        return False

    def _postponed(self, event, _stamp):
        name, number = event.task, event.attempt
        unit, pool = self.unit(name), POOL_OF[self.spec(name).mode]
        self._need(unit.attempt == number, f"{name}.{number} is postponed and was not running")
        unit.attempt, unit.started = None, number - 1
        self.give_back_slot(name, pool)
        self.give_back(name)
        if self.refused_since[pool] is None:
            self.refused_since[pool] = event.at
        busy = self.busy(pool)
        self.most[pool] = busy if self.most[pool] is None else min(self.most[pool], busy)

    # What counted

    def fact(self, event, stamp):
        """Take note of what counted, or was decided, and object."""
        handler = HANDLERS.get(event.__class__)
        if handler is not None:
            getattr(self, handler)(event, stamp)

    def _need(self, holds, text):
        if not holds:
            raise Violation(text)

    def _started(self, event, _stamp):
        name, number, now, waited_s = event
        assert waited_s >= 0
        unit, spec = self.unit(name), self.spec(name)
        self._need(name not in self.finals, f"{name} starts after its end")
        self._need(name not in self.barred, f"{name} starts and is refused")
        self._need(unit.attempt is None, f"{name}.{number} starts while {unit.attempt} runs")
        self._need(unit.held is None, f"{name}.{number} starts while a given-up thread runs")
        self._need(number == unit.started + 1, f"{name}: attempt {number} after {unit.started}")
        self._need(self.may_try(name, number), f"{name}: attempt {number} is one too many")
        self._need(now >= unit.due - EPSILON_S, f"{name}.{number} starts before {unit.due}")
        self._need(self.force is NEVER, f"{name} starts after a forced stop")
        short = self.is_short(POOL_OF[spec.mode]) and not self.has_kept_slot(name)
        self._need(not short, f"{name}.{number} starts though the system has no means")
        if self.stop is not NEVER:
            cleans = self.cleans(spec) and number == 1
            self._need(cleans, f"{name}.{number} starts after a stop")
        for need in spec.needs:
            self._need(self.is_over(need), f"{name} starts before its need {need} has ended")
        unit.started, unit.attempt, unit.since, unit.told = number, number, now, None
        unit.begun = True
        self.take_slot(name, POOL_OF[spec.mode])
        self.take_resources(name)
        self.moved = now

    def take_resources(self, name):
        """Count what was started as taking what it asks for."""
        for resource, amount in self.spec(name).resources.items():
            self.taken[resource] += amount
            fits = self.taken[resource] <= self.plan.resources[resource]
            self._need(fits, f"{name} starts and there is not enough of {resource}")

    def may_try(self, name, number):
        """Tell whether there may be an attempt *number*."""
        return number <= self.spec(name).retry.attempts

    def cleans(self, spec):
        """Tell whether *spec* may make its first attempt after the stop."""
        return spec.name in self.cleanups

    def take_slot(self, name, pool):
        """Count a slot for what was started."""
        self._need(not self.is_full(pool), f"{name}: no slot in {pool}")
        self.used[pool] += 1

    def give_back_slot(self, _name, pool):
        """Count a slot for what ended."""
        self.used[pool] -= 1

    def free(self, pool):
        """Return how many slots are free; threads that are stuck beyond their number take some."""
        spare = max(0, self.given_up - self.plan.threads) if pool == "threads" else 0
        return self.slots[pool] - self.used[pool] - spare

    def is_full(self, pool):
        """Tell whether no slot is free."""
        return self.free(pool) <= 0

    def is_over(self, task):
        """Tell whether nothing of *task* runs or will run."""
        count = self.expanded.get(task, (0,))[0]
        names = [f"{task}.{index}" for index in range(count)]
        nodes = self.scheduler.nodes
        names = [name for name in names if name in nodes] or [task]
        return nodes[task].state in FINAL and all(
            nodes[name].state in FINAL and self.unit(name).attempt is None for name in names
        )

    def _ended(self, event, stamp):
        name, number = event.task, event.attempt
        unit, spec = self.unit(name), self.spec(name)
        self._need(number not in unit.outcomes, f"{name}.{number} ends twice")
        self._need(number == (unit.attempt or 0), f"{name}.{number} ends and was not running")
        if number == 0:
            stamp = self._unprepared(event, stamp)
        unit.outcomes[number] = (event, stamp)
        if number == 0:
            return
        self.moved = event.at
        self.check_outcome(event, unit)
        unit.attempt = None
        self.give_back_slot(name, POOL_OF[spec.mode])
        if event.left_running:
            unit.held = number
            self.given_up += 1
            self.leave_resources(name)
        else:
            self.give_back(name)

    def give_back(self, name):
        """Count what an attempt had of resources as free."""
        for resource, amount in self.spec(name).resources.items():
            self.taken[resource] -= amount

    def leave_resources(self, name):
        """Take note that the thread of an attempt has its resources still."""

    def bring_back(self, name):
        """Count what such a thread had as free."""
        self.give_back(name)

    def check_outcome(self, event, unit):
        """Object where an attempt may not count as *event* says."""
        name, number, outcome = event.task, event.attempt, event.outcome
        if unit.told is not None:
            self._need(outcome in ("timed_out", "stopped"), f"{name} was told to stop: {outcome}")
        if outcome == "timed_out":
            limit_s = self.spec(name).timeout_s
            late = limit_s is not None and event.at - unit.since >= limit_s - EPSILON_S
            self._need(late, f"{name}.{number} timed out too early")
        if outcome == "stopped":
            self._need(self.stop is not NEVER, f"{name}.{number} was stopped, and nobody asked")

    def _unprepared(self, event, stamp):
        """Object where it could be told, or still be launched; return when it was given up."""
        name, spec = event.task, self.spec(event.task)
        fits = event.outcome == "launch_failed" and event.final
        self._need(fits, f"{name} ends without an attempt: {event}")
        if stamp[1] == 0:
            self._need(name in self.asked, f"{name} was not looked at and ends")
            self.asked.discard(name)
            self.moved = event.at
            return stamp
        if name in self.barred:
            return stamp[0], 0, 0  # before a stop that follows from it
        self._need(self.stalled, f"{name} is given up and there is hope")
        since, held, full, free = self.stalled
        lacks = any(amount > free[resource] for resource, amount in spec.resources.items())
        fits = name in held or POOL_OF[spec.mode] in full or lacks
        self._need(fits, f"{name} is given up and a slot is free")
        return since

    def stall(self, stamp):
        """Look at what is given up because only threads that are stuck could bring the run on."""
        waits = self.waiting()
        if self.given_up and self.stalled is None and not self.has_hope():
            full = [pool for pool in self.slots if self.is_full(pool)]
            free = self.all_free()
            self.stalled = (stamp, waits, full, free)
        for name in waits:
            if self.scheduler.nodes[name].state == "failed":
                self._need(self.stalled, f"{name} is given up and there is hope")
                self.unit(name).gave_up = stamp

    def waiting(self):
        """Return what waits for the thread of its last attempt."""
        return [
            name for name, unit in self.units.items()
            if unit.held is not None and name not in self.finals
            and state_after(self, self.spec(name), *unit.outcomes[unit.held]) is None
        ]  # fmt: skip

    def has_hope(self):
        """Tell whether anything but threads that are stuck may bring the run on."""
        now = self.scheduler.now
        hope = self.asked or any(most is not None for most in self.most.values())
        return hope or now - self.moved < self.plan.grace_s - EPSILON_S or any(
            unit.attempt is not None or (unit.held is None and unit.due > now)
            for unit in self.units.values()
        )  # fmt: skip

    def _returned(self, event, _stamp):
        unit = self.unit(event.task)
        self._need(unit.held == event.attempt, f"{event.task} returns and was not given up")
        unit.held = None
        self.bring_back(event.task)
        self.given_up -= 1
        self.moved = event.at

    def _retrying(self, event, _stamp):
        unit, policy = self.unit(event.task), self.spec(event.task).retry
        self._need(unit.held is None, f"{event.task} is to be retried and its thread still runs")
        tries = self.tries(event)
        full_s = min(policy.delay_s * policy.backoff ** (tries - 1), policy.max_delay_s)
        least_s = full_s / 2 if policy.jitter else full_s
        fits = least_s - EPSILON_S <= event.delay_s <= full_s + EPSILON_S
        self._need(fits, f"{event.task}: a delay of {event.delay_s} instead of {full_s}")
        unit.due = event.at + event.delay_s

    def tries(self, event):
        """Return how many tries there were before the delay of *event*."""
        return event.attempt

    def _left(self, event, _stamp):
        self._need(self.unit(event.task).attempt is None, f"{event} and it runs")
        self._need(event.task not in self.finals, f"{event} and it had ended")
        self.asked.discard(event.task)
        self.unit(event.task).due = 0.0

    def _stop_asked(self, event, stamp):
        if self.stop is NEVER:
            self.stop, self.reason, self.signal = stamp, event.reason, event.signal
            self.cleanups = frozenset(
                task.name for task in self.plan.tasks.values() if task.run_when == "always"
                and any(self.has_begun(need) for need in task.needs)
            )  # fmt: skip
            if event.reason == "fail_fast":
                self._need(self.fail_fast, "a stop that nobody asked for")
        if event.force:
            self.force = min(self.force, stamp)

    def has_begun(self, task):
        """Tell whether an attempt of *task*, or of an instance of it, was started."""
        return any(unit.begun and (name == task or name.startswith(f"{task}."))
                   for name, unit in self.units.items())  # fmt: skip

    def _told(self, action, _stamp):
        unit, spec = self.unit(action.task), self.spec(action.task)
        if unit.attempt != action.attempt:
            return  # it ended in the same turn
        now = self.scheduler.now
        if action.force:
            told = unit.told is not None and now - unit.told >= spec.grace_s - EPSILON_S
            self._need(told or self.force is not NEVER, f"{action.task} is killed without grace")
        elif self.stop is NEVER and not self.may_be_told(action.task):
            late = spec.timeout_s is not None and now - unit.since >= spec.timeout_s - EPSILON_S
            self._need(late, f"{action.task}.{action.attempt} is told to stop too early")
        if unit.told is None:
            unit.told = now

    def may_be_told(self, _name):
        """Tell whether there is a reason to end an attempt but its time limit and a stop."""
        return False

    def _decided(self, event, stamp):
        self._need(event.task not in self.decided, f"{event.task} is decided twice")
        self.decided[event.task] = (event.run, stamp)
        self._answered(event)

    def _expanded(self, event, stamp):
        self._need(event.task not in self.expanded, f"{event.task} is expanded twice")
        self.expanded[event.task] = (event.instances, stamp)
        count = self.plan.tasks[event.task].count
        if count is None:
            self._answered(event)
        else:
            self._need(event[1:3] == ("null", count), f"{event} and it has {count} items")

    def _resolve(self, action, _stamp):
        self._need(action.task not in self.asked, f"{action.task} is looked at twice")
        self.asked.add(action.task)

    def _answered(self, event):
        self._need(event.task in self.asked, f"{event} and nobody asked")
        self.asked.discard(event.task)
        self.moved = event.at

    def _finish(self, event, _stamp):
        self._need(self.finished is None, "the run ends twice")
        self.finished = event

    def check(self, actions):
        """Check the whole after a turn."""
        scheduler = self.scheduler
        self._need(scheduler.now >= self.time, "time runs backwards")
        self.time, self.stalled = scheduler.now, None
        counts = self.check_states()
        self._need(counts == scheduler.counts, f"counts: {scheduler.counts}, in truth {counts}")
        self.check_order(actions)

    def check_states(self):
        """Object to states that cannot be, and return how many there are of each."""
        scheduler, finals = self.scheduler, self.finals
        counts = dict.fromkeys(scheduler.counts, 0)
        for name, node in scheduler.nodes.items():
            state = node.state
            if not node.children:
                counts[state] += 1
                runs = name in self.units and self.units[name].attempt is not None
                self._need(runs == (state == "running"), f"{name} is {state}; it runs: {runs}")
            if state in FINAL:
                was = finals.setdefault(name, state)
                self._need(was == state, f"{name} was {was} and is {state}")
            else:
                self._need(name not in finals, f"{name} had ended and is {state}")
        return counts

    def check_order(self, actions):
        """Object where a slot is free for what waits, or the wrong one was started."""
        scheduler = self.scheduler
        ready = {"threads": [], "processes": []}
        self.turned_away &= {
            name for name, node in scheduler.nodes.items() if node.state == "ready"
        }
        must = self.lacking(self.turned_away)
        # it may have had a slot within a turn only
        lacking = self.lacking(self.turned_away | scheduler.semaphores.refused)
        for node in scheduler.nodes.values():
            if node.state == "ready" and node.name not in lacking:
                ready[node.pool].append(rank(node))
        for pool, waiting in ready.items():
            started = [
                rank(scheduler.nodes[action.task]) for action in actions
                if action.__class__ is Started and scheduler.nodes[action.task].pool == pool
            ]  # fmt: skip
            in_order = started == sorted(started) or bool(self.plan.resources)
            self._need(in_order, f"{pool}: started in the order {started}")
            if waiting:
                first = min(waiting)
                behind = not started or max(started) < first or bool(self.plan.resources)
                self._need(behind, f"{pool}: {first} was passed over")
                full = self.is_full(pool) or self.is_short(pool)
                self._need(full, f"{pool}: {first} waits and a slot is free")
        self.check_starved(actions, must)
        begun = [scheduler.nodes[one.task] for one in actions if one.__class__ is Started]
        self.turned_away |= {
            name for name, node in scheduler.nodes.items()
            if node.state == "ready" and node.spec.resources
            and any(one.pool == node.pool and rank(one) > rank(node) for one in begun)
        }  # fmt: skip

    def all_free(self):
        """Return how much of each resource nobody has."""
        return {name: self.free_of(name) for name in self.plan.resources}

    def free_of(self, resource):
        """Return how much of *resource* nobody has."""
        return self.plan.resources[resource] - self.taken[resource]

    def lacking(self, turned_away):
        """Return who is ready and cannot have its resources, with what it keeps others from.

        Those *turned_away* before count also where who ranks behind them has got their slots.
        """
        found, left = {}, self.all_free()
        nodes = self.scheduler.nodes.values()
        ready = [node for node in nodes if node.state == "ready"]
        for node in sorted(ready, key=rank):
            wanted = node.spec.resources
            if self.is_short(node.pool):
                continue
            if self.is_full(node.pool):
                run = [rank(n)[:2] for n in nodes if n.state == "running" and n.pool == node.pool]
                if node.name not in turned_away or min(run, default=()) <= rank(node)[:2]:
                    continue
            if claim(left, wanted):
                continue
            if wanted:
                found[node.name] = set(wanted)
        return found

    def check_starved(self, actions, lacking):
        """Object where one took what another, of a better rank and with a slot, waits for."""
        nodes = self.scheduler.nodes
        for action in actions:
            if action.__class__ is Started:
                one = nodes[action.task]
                for name, wanted in lacking.items():
                    fair = rank(one) < rank(nodes[name]) or wanted.isdisjoint(one.spec.resources)
                    self._need(fair, f"{one.name} took what {name} waits for")

    def ended(self, finished):
        """Compare the end with the one that must be."""
        states, code = self.judge()
        for name, node in self.scheduler.nodes.items():
            expected = states.get(name)
            self._need(node.state == expected, f"{name} is {node.state}, must be {expected}")
        got = (finished.state, finished.exit_code)
        self._need(got == code, f"the run ends as {got}, must as {code}")
        free = self.all_free()
        found = self.scheduler.semaphores.free
        self._need(found == free, f"free in the end: {found}, in truth {free}")
        if self.fail_fast and self.failures:
            stopped = self.stop[0] <= min(self.failures)[0]
            self._need(stopped, "the run went on after a failure")

    def judge(self):
        """Return the states that must come out, and how the run must end."""
        return judge(self)


HANDLERS = {
    Started: "_started",
    Ended: "_ended",
    Postponed: "_postponed",
    Returned: "_returned",
    Retrying: "_retrying",
    Skipped: "_left",
    Cancelled: "_left",
    StopAsked: "_stop_asked",
    Stop: "_told",
    Decided: "_decided",
    Expanded: "_expanded",
    Resolve: "_resolve",
    Finished: "_finish",
}


def claim(left, wanted):
    """Tell whether *wanted* can be had of what is *left*; those behind get less, or nothing."""
    fits = all(left[name] >= wanted[name] for name in wanted)
    for name in wanted:
        left[name] = left[name] - wanted[name] if fits else 0
    return fits


def rank(node):
    """Return what sorts ready tasks: priority, file order, instance."""
    return (-node.spec.priority, node.spec.order, node.order if node.group is not None else 0)


# What must come out


class Verdict:
    """How a task must have ended, and when: *kind* is what it is to those that need it."""

    def __init__(self, state, at, kind="good"):
        self.state, self.at, self.kind = state, at, kind


def judge(watch):
    """Return the state of every task and instance, and the run's state and exit code.

    From the plan, the recorded outcomes and answers, and the moments of the stops alone.
    """
    plan, verdicts = watch.plan, {}
    states = {name: verdict.state for name, verdict in watch.kept.items()}
    failed = False
    for spec in in_order(plan):
        needs = [verdicts[need] for need in spec.needs]
        verdict = judge_task(watch, spec, needs, states)
        states[spec.name] = verdict.state
        verdicts[spec.name] = verdict
        failed |= weigh(watch, spec, verdict)
    return states, how_it_ends(watch, failed=failed)


def weigh(watch, spec, verdict):
    """Complete what *verdict* is to those that need *spec*; tell whether it fails the run."""
    if not spec.allow_failure:
        watch.failures += failures_of(watch, spec)
    if verdict.kind == "skipped for a failure":
        verdict.kind = "bad"
        return True
    if verdict.state in ("failed", "cancelled") and not spec.allow_failure:
        verdict.kind = "bad"
        return verdict.state == "failed"
    return False


def how_it_ends(watch, *, failed):
    """Return the run's state and exit code."""
    if watch.reason == "timeout":
        return "failed", 124
    if watch.reason == "signal":
        return "cancelled", 128 + watch.signal
    return ("failed", 1) if failed else ("succeeded", 0)


def failures_of(watch, spec):
    """Yield when *spec*, or an instance of it, failed for good."""
    for name, unit in watch.units.items():
        failed = unit.outcomes and watch.finals.get(name) == "failed"
        if failed and name.partition(".")[0] == spec.name:
            yield unit.gave_up or max(at for _, at in unit.outcomes.values())


def in_order(plan):
    """Yield the tasks so that every need comes first."""
    left, done = list(plan.tasks.values()), set()
    while left:
        for spec in left:
            if done.issuperset(spec.needs):
                done.add(spec.name)
                yield spec
        left = [spec for spec in left if spec.name not in done]


def judge_task(watch, spec, needs, states):
    """Return the verdict on a task, and leave those on its instances in *states*."""
    settled, end = moments(watch, spec, needs)
    verdict = watch.kept.get(spec.name) or held_back(watch, spec, needs)
    if verdict is not None:
        return verdict
    if not spec.many:
        return judge_unit(watch, spec, spec.name, settled, end)
    if spec.name not in watch.expanded:
        return unresolved(watch, spec.name, end)
    count, at = watch.expanded[spec.name]
    if spec.items is not None and at != settled:
        raise Violation(f"{spec.name} has its instances at {at}, not at {settled}")
    found = []
    for index in range(count):
        found.append(judge_unit(watch, spec, f"{spec.name}.{index}", at, end))
        states[f"{spec.name}.{index}"] = found[-1].state
    worst = [verdict.state for verdict in found]
    state = next((s for s in ("failed", "cancelled", "succeeded", "skipped") if s in worst),
                 "succeeded")  # fmt: skip
    last = max((verdict.at for verdict in found), default=at)
    return Verdict(state, last, "idle" if state == "skipped" else "good")


def moments(watch, spec, needs):
    """Return when *needs* had ended, and when *spec* is cancelled if nothing of it has begun."""
    settled = (max((need.at[0] for need in needs), default=0), 2, 0)
    return settled, watch.force if spec.name in watch.cleanups else watch.stop


def held_back(watch, spec, needs):
    """Return the verdict on a task that its needs, or a stop, keep from starting; None if none."""
    settled, end = moments(watch, spec, needs)
    if spec.skip is not None:
        return Verdict("skipped", min(settled, watch.stop))
    if end < settled:
        return Verdict("cancelled", end)
    kinds = {need.kind for need in needs}
    if spec.run_when == "succeeded" and "bad" in kinds:
        return Verdict("skipped", settled, "skipped for a failure")
    if spec.run_when == "succeeded" and "idle" in kinds:
        return Verdict("skipped", settled, "idle")
    if spec.run_when == "failed" and "bad" not in kinds:
        return Verdict("skipped", settled, "idle")
    return None


def unresolved(watch, name, end):
    """Return the verdict on what was looked at in vain, or not in time."""
    unit = watch.unit(name)
    if 0 in unit.outcomes:
        return Verdict("failed", unit.outcomes[0][1])
    if end is NEVER:
        raise Violation(f"{name} was never looked at")
    return Verdict("cancelled", end)


def judge_unit(watch, spec, name, at, end):
    """Return the verdict on what is admitted at *at* and cancelled at *end* if it waits then."""
    unit = watch.unit(name)
    if name in watch.kept:
        return watch.kept[name]
    if spec.when is not None:
        if name not in watch.decided:
            return unresolved(watch, name, end)
        run, at = watch.decided[name]
        if not run:
            return Verdict("skipped", at, "idle")
    given_up = unit.gave_up or (unit.outcomes[0][1] if 0 in unit.outcomes else None)
    if unit.started:
        last = judge_tries(watch, spec, name, unit)
        if last is not None and given_up is not None:
            raise Violation(f"{name} is given up and had ended")
        if last is not None:
            return last
        end = watch.stop  # what cleans up makes one attempt after a stop, but no other
    if given_up is not None and given_up < end:
        return Verdict("failed", given_up)
    if end is NEVER:
        raise Violation(f"{name} must run, or run again, and did not")
    return Verdict("cancelled", end)


def judge_tries(watch, spec, name, unit):
    """Return the verdict from the attempts; None where another must follow."""
    tries = [unit.outcomes[number] for number in sorted(unit.outcomes) if number]
    if [event.attempt for event, _ in tries] != list(range(1, unit.started + 1)):
        raise Violation(f"{name}: {unit.started} attempts, outcomes of {sorted(unit.outcomes)}")
    for event, at in tries:
        state = state_after(watch, spec, event, at)
        if state is not None:
            if event.attempt != unit.started:
                raise Violation(f"{name} goes on after attempt {event.attempt}: {event.outcome}")
            return Verdict(state, at)
    return None


def state_after(watch, spec, event, at):
    """Return the last state of what ended so; None where it is to be tried again."""
    if event.outcome == "ok":
        return "succeeded"
    if event.outcome == "stopped":
        return "cancelled"
    last = event.final or event.attempt == spec.retry.attempts or at > watch.stop
    return "failed" if last else None


# The command line


def simulate(seed, make=Scheduler, world=World):
    """Run *seed*; return None, or the violation and the world it happened in."""
    world = world(seed, make)
    try:
        world.run()
    except Violation as violation:
        return violation, world
    except Exception as error:  # noqa: BLE001 - whatever the scheduler raises is a finding
        return Violation(f"raised {error!r}"), world
    return None


def first_violation(seeds, make=Scheduler, world=World):
    """Return the text for the first of *seeds* that does not hold, or None."""
    for seed in seeds:
        found = simulate(seed, make, world)
        if found is not None:
            return describe(seed, *found)
    return None


def describe(seed, violation, world, turns=12):
    """Return seed, violation, plan and the last *turns* as text."""
    plan = world.plan
    limits = f"threads {plan.threads} processes {plan.processes} timeout {plan.timeout_s}"
    lines = [
        f"seed {seed}: {violation}",
        f"  {limits} grace {plan.grace_s} fail_fast {world.fail_fast}",
    ]
    for task in plan.tasks.values():
        empty = PlanTask("", 0, "thread")
        keys = {key: value for key in PlanTask.__match_args__ if key not in ("name", "order")
                and (value := getattr(task, key)) != getattr(empty, key)}  # fmt: skip
        lines.append(f"  {task.name}: {keys}")
    lines += [f"  {queue}".replace("max_bytes=67108864, ", "") for queue in plan.queues.values()]
    lines += [f"  {pipeline}" for pipeline in plan.pipelines]
    for now, events, actions in world.trace[-turns:]:
        lines.append(f"  {now:g} <- {', '.join(map(brief, events))}")
        lines.append(f"  {' ' * len(f'{now:g}')} -> {', '.join(map(brief, actions))}")
    return "\n".join(lines)


def brief(event):
    """Return an event or action in a few words."""
    shown = [
        f"{value:g}" if isinstance(value, float) else str(value)
        for key, value in zip(event._fields, event, strict=True)
        if value not in (None, False) and key not in ("at", "items")
    ]
    return f"{type(event).__name__}({' '.join(shown)})"


def _chunk(seeds, world):
    return len(seeds), first_violation(seeds, world=world)


def main(arguments, world=World):
    """Run as many seeds as asked for and say how it went."""
    numbers = [int(argument) for argument in arguments]
    count, first = (numbers + [1000, 0][len(numbers) :])[:2]
    chunks = [range(at, min(at + 100, first + count)) for at in range(first, first + count, 100)]
    begun, done = time.perf_counter(), 0
    with Pool(2) as pool:
        for size, said in pool.imap(partial(_chunk, world=world), chunks):
            done += size
            if said is not None:
                sys.stdout.write(f"{said}\n")
                return 1
    rate = done / (time.perf_counter() - begun)
    sys.stdout.write(f"{done} seeds from {first}, no violation, {rate:.0f} seeds/s\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
