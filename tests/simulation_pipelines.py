"""A seeded simulation of pipelines: tasks that queues join, in a fake world on virtual time.

As in ``simulation``, but the plans have pipelines, and the world has queues: items are counted, a
full queue holds its publishers up, consumers that are not told of its end never end by themselves,
unless they leave early. ``pipeline_rules`` says what must hold.

``python -m tests.simulation_pipelines 20000 [SEED]`` runs that many seeds from SEED.
"""

import sys
from collections import deque

from orchestrator.events import Arrived, Drained, Ended, Failure, Left, Spoiled, Started
from orchestrator.nodes import CloseQueue, EndQueue, Feed, GiveBack, StopFeed
from orchestrator.plan.model import POOL_OF, Pipeline, Plan, PlanQueue, RetryPolicy
from orchestrator.scheduler import Scheduler
from tests.pipeline_rules import PipelineWatch
from tests.simulation import Life, Violation, World, fold, main, random_plan, random_task

TROUBLES = ("fails", "quits", "crashes", "unlaunched", "spoils", "spoils", "hangs")
OF_CONSUMERS = ("quits", "quits", "quits", "leaves", "leaves", "leaves")
# Most pipelines need slots of both pools, some of one.
MODES = (
    *[("thread", "process", "subprocess", "subprocess")] * 4,
    ("thread",),
    ("process", "subprocess"),
)
MOST_ZEROS = 3  # items that one task may set aside one after another
SPOILED = Failure("OutputError", "line 3 of stdout is not JSON")


# What is to be run


def pipeline_plan(rng, *, stuck=False):
    """Return a plan of one to three pipelines among a few tasks that no queue joins.

    *stuck*: few threads, and all of them have a time limit.
    """
    shapes = [random_shape(rng) for _ in range(rng.choice((1, 1, 1, 2, 2, 3)))]
    shapes += [None] * rng.choice((0, 0, 1, 2, 4, 6))
    rng.shuffle(shapes)
    orders = list(range(sum(1 if shape is None else len(shape) for shape in shapes)))
    rng.shuffle(orders)
    frame = random_plan(rng)
    plan = Plan("simulated", "/", {}, threads=frame.threads, processes=frame.processes,
                timeout_s=frame.timeout_s, grace_s=frame.grace_s)  # fmt: skip
    for shape in shapes:
        before = list(plan.tasks)
        added = [
            random_task(rng, [*before, f"t{order}"], len(before), order)
            for order in (orders.pop() for _ in shape or (None,))
        ]
        if shape is not None:
            modes = ("thread", "process", "process") if stuck else rng.choice(MODES)
            for task in added:
                task.mode = rng.choice(modes)
            join(rng, plan, added, shape)
        for task in added:
            if stuck and task.mode == "thread":
                task.timeout_s, task.grace_s = 0.5, 0.0
        plan.tasks |= {task.name: task for task in added}
    plan.tasks = dict(sorted(plan.tasks.items(), key=lambda item: item[1].order))
    return plan


def random_shape(rng):
    """Return the queues that each member fills and reads, as numbers; all are connected."""
    members = [(0, None)] * rng.choice((1, 1, 1, 2))
    queue, count = 0, 1
    while queue < count:
        for _ in range(rng.choice((1, 1, 1, 2))):
            fills = None
            if rng.random() < 0.4 and queue < 2:
                fills = rng.randint(queue + 1, max(count, queue + 1))
                count = max(count, fills + 1)
            members.append((fills, queue))
        queue += 1
        if queue < count and rng.random() < 0.2:
            members.append((queue, None))
    return members


def join(rng, plan, tasks, shape):
    """Make *tasks* a pipeline of *plan* in this *shape*."""
    first, outside = len(plan.queues), tuple(rng.sample(list(plan.tasks), min(1, len(plan.tasks))))
    names = [f"q{first + number}" for number in range(1 + max(fills or 0 for fills, _ in shape))]
    queues = [random_queue(rng, name) for name in names]
    plan.queues |= dict(zip(names, queues, strict=True))
    skip = "left out (--skip)" if rng.random() < 0.03 else None
    cleans_up = rng.random() < 0.15
    for task, (fills, reads) in zip(tasks, shape, strict=True):
        task.publish = None if fills is None else names[fills]
        task.consume = None if reads is None else names[reads]
        if fills is not None:
            queues[fills].publishers += (task.name,)
        if reads is not None:
            queues[reads].consumers += (task.name,)
        task.skip = skip
        make_member(rng, task)
        if cleans_up:
            task.run_when = "always"
            task.needs = task.needs or outside
    for task in tasks:
        retry_if_allowed(rng, task, plan.queues)
    for queue in queues:
        settle_queue(rng, queue, {task.name: task for task in tasks})
    needs = dict.fromkeys(("threads", "processes"), 0)
    for task in tasks:
        needs[POOL_OF[task.mode]] += task.replicas or 1
    plan.threads, plan.processes = (max(getattr(plan, pool), needs[pool]) for pool in needs)
    depths = depths_of(shape)
    by_flow = sorted(zip(depths, tasks, strict=True), key=lambda pair: (pair[0], pair[1].order))
    plan.pipelines.append(Pipeline(tuple(task.name for _, task in by_flow), **needs))


def random_queue(rng, name):
    """Return a queue; who fills and reads it is not known yet."""
    return PlanQueue(
        name,
        maxsize=rng.choice((1, 1, 2, 3)),
        on_consumer_exit=rng.choice(("stop", "stop", "drain", "fail")),
        delivery=rng.choice(("at_most_once", "at_least_once")),
    )


def make_member(rng, task):
    """Turn a task that stands for itself into one of a pipeline."""
    task.items = task.foreach = None
    if rng.random() < 0.8:
        task.needs = task.needs[:1] if rng.random() < 0.4 else ()
    task.run_when = rng.choice(("succeeded",) * 20 + ("always",) * 6 + ("failed",))
    if rng.random() < 0.7:
        task.timeout_s = task.when = None
    kind = rng.random()
    if task.consume is not None and kind < 0.35:
        task.source, task.consume = task.consume, None
    elif kind < 0.5:
        task.replicas = rng.choice((1, 2, 2, 3))
    elif kind < 0.6:
        task.items = [None] * rng.choice((0, 0, 1, 2, 3))
    elif kind < 0.65:
        task.foreach = "looked at"


def retry_if_allowed(rng, task, queues):
    """Let *task* be tried again where its queue delivers again."""
    policy, task.retry = task.retry, RetryPolicy()
    queue = queues[task.source or task.consume or task.publish]
    if task.source is not None or queue.delivery == "at_least_once":
        again = RetryPolicy(attempts=rng.randint(2, 4), delay_s=rng.choice((0.0, 0.5)))
        task.retry = policy if rng.random() < 0.6 else again


def settle_queue(rng, queue, tasks):
    """Decide on what depends on who fills and reads *queue*."""
    fills, reads = ([tasks[name] for name in ends] for ends in (queue.publishers, queue.consumers))
    again = queue.delivery == "at_least_once"
    if (again or all(task.source is not None for task in reads)) and rng.random() < 0.5:
        queue.dead_letter = "/dead"
    alone = len(fills) == len(reads) == 1 and not again and queue.on_consumer_exit == "stop"
    if alone and queue.dead_letter is None:
        ends = (*fills, *reads)
        plain = all(not task.many and task.retry.attempts == 1 for task in ends)
        queue.direct = plain and rng.random() < 0.6
        if queue.direct:
            for task in ends:
                task.mode = "subprocess"


def depths_of(shape):
    """Return how far down the flow each member stands."""
    depth_of = {}
    for queue in range(1 + max(fills or 0 for fills, _ in shape)):
        depth_of[queue] = 1 + max(
            1 + depth_of.get(reads, 0) for fills, reads in shape if fills == queue
        )
    return [1 + depth_of.get(reads, 0) for _, reads in shape]


# The world


class Line:
    """A queue: what is in it, and who is at its ends; *owed*: what was published and is not done.

    What is owed is known to the next session too, where items are delivered again.
    """

    def __init__(self, spec):
        self.spec, self.items, self.owed = spec, deque(), {}
        self.writers, self.readers, self.feeders = [], [], []
        self.ended = self.deaf = False

    def has_room(self):
        """Tell whether a publisher may go on."""
        return self.deaf or len(self.items) < self.spec.maxsize

    def put(self, *items):
        """Let *items* be delivered."""
        if not self.deaf:
            self.items += items
            self.owed |= dict.fromkeys(items)

    def done(self, items):
        """Take note that *items* need not be delivered again."""
        for item in items:
            self.owed.pop(item, None)


class Feeder:
    """Takes items for a task that makes an attempt of each; what it says stays in order."""

    def __init__(self, task, key):
        self.task, self.key = task, key
        self.wanted = self.taken = 0
        self.due, self.done = 0.0, False


class Worker(Life):
    """An attempt of a member. *left*: what it has to publish; *ending*: how it ends in the end.

    *taken* are items of which it is not known that they are done: of a program that is all.
    """

    __slots__ = ("ending", "fills", "left", "reading", "reads", "saw_end", "taken")

    def __init__(self, name, number, spec, lines):
        super().__init__(name, number, spec)
        self.fills, self.reads = lines.get(spec.publish), lines.get(spec.consume)
        self.left, self.taken = 0, []
        self.ending, self.reading, self.saw_end = "ok", self.reads is not None, False


class PipelineWorld(World):
    """Does what the engine, the runners and the queues do, with chance instead of items."""

    def __init__(self, seed, make=Scheduler):
        super().__init__(seed, make)
        self.items, self.item_of = 0, {}  # how many there were; those of instances
        self.lay_queues()
        self.trouble = self.rng.choice((0.05, 0.2, 0.2, 0.5))

    def lay_queues(self):
        """Make the queues, with nothing in them."""
        self.lines = {name: Line(spec) for name, spec in self.plan.queues.items()}
        self.feeders = {
            name: Feeder(name, self.rng.random())
            for name, task in self.plan.tasks.items() if task.source is not None
        }  # fmt: skip
        for feeder in self.feeders.values():
            self.lines[self.plan.tasks[feeder.task].source].feeders.append(feeder)
        self.failures = {}  # of what a task has in hand
        self.zeros = {}

    def draw_plan(self, rng):
        """Return what is to be run; in some worlds many threads do not stop."""
        if rng.random() < 0.15:
            self.stuck = 0.95
        return pipeline_plan(rng, stuck=self.stuck > 0.9)

    def watcher(self, plan, scheduler, *, fail_fast):
        """Return who looks over the scheduler's shoulder."""
        return PipelineWatch(plan, scheduler, fail_fast=fail_fast)

    def act(self, action):
        """Do what the engine, the runners and the queues would."""
        match action:
            case Feed(name, most):
                self.feeders[name].wanted += most
                self.stir(self.lines[self.plan.tasks[name].source])
            case StopFeed(name):
                self.feeders[name].wanted = 0
            case GiveBack(name):
                self.give_back(name.partition(".")[0], self.item_of[name])
            case EndQueue(name):
                self.lines[name].ended = True
                self.stir(self.lines[name])
            case CloseQueue(name, drain):
                self.close(self.lines[name], drain=drain)
            case Started(name, number, _) if self.is_member(name):
                self.work(name, number)
            case _:
                super().act(action)

    def heard(self, event, counted):
        """Put an item that came too late back into its queue."""
        if event.__class__ is Arrived and counted is None:
            self.give_back(event.task, event.item)

    def keep(self, recorded):
        """Record a turn: items that came are done then."""
        lives = super().keep(recorded)
        for event in recorded:
            if event.__class__ is Arrived:
                self.lines[self.plan.tasks[event.task].source].done([event.item])
                self.item_of[f"{event.task}.{event.number}"] = event.item
        return lives

    def give_back(self, task, item):
        """Leave an *item* that *task* was given to others."""
        line = self.lines[self.plan.tasks[task].source]
        line.put(item)
        self.stir(line)

    def is_member(self, name):
        """Tell whether *name* belongs to a pipeline."""
        task = self.plan.tasks[name.partition(".")[0]]
        return task.publish is not None or task.consume is not None or task.source is not None

    # Attempts

    def work(self, name, number):
        """Start an attempt of a member and draw its fate."""
        rng = self.rng
        if self.is_refused(name, number):
            return
        spec = self.plan.tasks[name.partition(".")[0]]
        life = self.lives[name, number] = Worker(name, number, spec, self.lines)
        if life.fills is not None:
            life.fills.writers.append(life)
            life.left = 0 if life.reads is not None else rng.choice((0, 1, 1, 2, 3))
        if life.reads is not None:
            life.reads.readers.append(life)
        hangs = self.stuck > 0.9 and spec.mode == "thread" and rng.random() < 0.7
        if hangs or rng.random() < self.trouble:
            self.draw_trouble(life)
        self.stir(*(line for line in (life.fills, life.reads) if line is not None))
        self.look(life)

    def draw_trouble(self, life):
        """Let *life* end otherwise than well and at the end of its work."""
        rng = self.rng
        kind = rng.choice(TROUBLES if life.reads is None else (*TROUBLES, *OF_CONSUMERS))
        if self.stuck > 0.9 and life.spec.mode == "thread":
            kind = "hangs"
        watched = life.spec.mode != "thread" and not any(
            line is not None and line.spec.direct for line in (life.fills, life.reads)
        )
        if kind == "fails":
            life.ending = "failed"
        elif kind in ("quits", "crashes"):
            self.end(life, self.some_time(), "ok" if kind == "quits" else "failed")
        elif kind == "unlaunched":
            life.reading, life.left = False, 0
            self.end(life, 0.0, "launch_failed")
        elif kind == "spoils" and life.fills is not None and watched:
            self.post(self.some_time(), lambda: self.spoil(life))
        elif kind == "leaves" and life.reads is not None and watched:
            self.post(self.some_time(), lambda: self.leave(life))
        elif kind == "hangs":
            life.reading, life.left = False, 0
            life.ending = None
            if not self.will_be_told(life.spec):
                self.end(life, 30.0, "ok")

    def end(self, life, delay_s, outcome, **keys):
        """Let *life* end after *delay_s*, whatever it was to do."""
        life.plan += 1
        life.ending = None
        self.post(delay_s, Ended(life.name, life.number, outcome, 0.0, **keys), life)

    def is_alive(self, life):
        """Tell whether *life* is under way and its end is not planned."""
        return self.lives.get((life.name, life.number)) is life and not life.told

    def spoil(self, life):
        """Publish what cannot be an item; it may end by itself before it is told to."""
        if not self.is_alive(life):
            return
        life.left = 0
        self.post(0.0, Spoiled(life.name, life.number, SPOILED, 0.0))
        life.plan += 1
        life.ending = None
        if self.rng.random() < 0.4:
            self.end(life, self.some_time(), "failed", error=SPOILED)

    def leave(self, life):
        """Close stdin and go on."""
        rng = self.rng
        if not self.is_alive(life) or life.saw_end:
            return
        life.reading = False
        for _ in range(1 if rng.random() < 0.9 else 2):
            self.post(rng.choice((0.0, 0.0, 0.5)), Left(life.name, life.number, 0.0))
        if not self.will_be_told(life.spec) or rng.random() < 0.6:
            self.end(life, rng.choice((0.1, 0.5, 0.5, 2.0)), rng.choice(("ok", "failed")))
        else:
            life.plan += 1
            life.ending = None

    def look(self, life):
        """Let *life* end when its work is done."""
        done = life.left == 0 and (life.reads is None or life.saw_end)
        if done and life.ending is not None and not life.told:
            final = life.ending == "failed" and self.rng.random() < 0.1
            delay_s = self.some_time()
            if life.reads is None and life.spec.source is None:
                delay_s += self.rng.choice((0.0, 0.0, 2.0, 5.0))
            self.end(life, delay_s, life.ending, final=final)

    def over(self, life, event):
        """Bury *life*, and say what became of its items."""
        event = super().over(life, event)
        if not isinstance(life, Worker):
            return event
        if life.fills is not None:
            life.fills.writers.remove(life)
        if life.reads is None:
            return event
        line = life.reads
        line.readers.remove(life)
        event = event._replace(
            unread=not life.saw_end, item_failures=self.failures_of_item(life, event)
        )
        if event.outcome == "ok" or line.spec.delivery == "at_most_once":
            line.done(life.taken)
        elif event.item_failures == 0:  # it was set aside
            line.done(life.taken[-1:])
            line.put(*life.taken[:-1])
        else:
            line.put(*life.taken)
        if line.spec.direct:
            for writer in list(line.writers):
                if self.is_alive(writer):
                    self.hear_of_close(writer, cut=True)
        self.stir(line)
        return event

    def failures_of_item(self, life, event):
        """Return how often the item in hand has failed, where that is known."""
        spec = life.reads.spec
        known = spec.delivery == "at_least_once" and spec.dead_letter is not None
        if event.outcome == "ok" or not known or life.spec.mode == "subprocess":
            return None
        failures = self.failures[life.name] = self.rng.choice(
            (1, self.failures.get(life.name, 0) + 1)
        )
        if failures < life.spec.retry.attempts:
            return failures
        self.zeros[life.name] = self.zeros.get(life.name, 0) + 1
        self.failures[life.name] = 0
        return 0 if self.zeros[life.name] <= MOST_ZEROS else failures

    # Queues

    def close(self, line, *, drain):
        """Tell who publishes that nobody reads; not all of them take notice."""
        line.deaf = True
        line.items.clear()
        if not drain:
            for life in list(line.writers):
                if self.is_alive(life):
                    self.hear_of_close(life, cut=line.spec.direct)
        self.stir(line)

    def hear_of_close(self, life, *, cut):
        """Let *life* take notice that nobody reads, or hang, or go on as if nothing was."""
        rng, program = self.rng, life.spec.mode == "subprocess"
        chance = rng.random()
        if chance < 0.7 and program:
            self.end(life, rng.choice((0.0, 0.0, 0.5)), "failed", signal=13, cut=cut)
        elif chance < 0.7:
            outcome = rng.choice(("ok", "ok", "ok", "failed"))
            self.end(life, rng.choice((0.0, 0.0, 0.5)), outcome)
        elif chance < 0.85:
            life.plan += 1
            life.ending, life.left = None, 0

    def stir(self, *lines):
        """Let items move until nothing moves any more."""
        todo = deque(lines)
        while todo:
            line = todo.popleft()
            todo.extend(self.move_items(line))

    def move_items(self, line):
        """Move items in and out of *line*, and return the lines that may go on for that."""
        touched = []
        while True:
            writers = [life for life in line.writers if life.left]
            takers = [life for life in line.readers if life.reading and not life.left]
            takers += [feeder for feeder in line.feeders if feeder.wanted]
            if writers and line.has_room():
                writer = self.rng.choice(writers)
                writer.left -= 1
                self.items += 1
                line.put(str(self.items))
                if writer.reads is not None:
                    touched.append(writer.reads)
            elif line.items and takers:
                touched += self.take(self.rng.choice(takers), line)
            else:
                break
        if line.ended and not line.items:
            self.tell_the_end(line)
        for life in line.writers:
            self.look(life)
        return touched

    def take(self, taker, line):
        """Give an item of *line* to *taker*; return the queues to which it may publish now."""
        item = line.items.popleft()
        if isinstance(taker, Feeder):
            taker.wanted -= 1
            taker.taken += 1
            self.say(taker, Arrived(taker.task, taker.taken - 1, item, 0.0))
            return []
        if taker.spec.mode != "subprocess":  # it has asked for the next one
            line.done(taker.taken)
            taker.taken.clear()
        taker.taken.append(item)
        if taker.fills is not None:
            taker.left = self.rng.choice((0, 1, 1, 2))
            return [taker.fills]
        return []

    def tell_the_end(self, line):
        """Let who reads *line* see that it has ended."""
        for life in line.readers:
            if life.reading:
                life.saw_end = True
                self.look(life)
        for feeder in line.feeders:
            if feeder.wanted and not feeder.done:
                feeder.done = True
                self.say(feeder, Drained(feeder.task, feeder.taken, 0.0))

    def say(self, feeder, event):
        """Post *event* after all that *feeder* has posted before."""
        delay_s = self.rng.choice((0.0, 0.0, 0.0, 0.5, 1.5))
        feeder.due = max(feeder.due, self.now + delay_s)
        self.post_at(feeder.due, feeder.key, event)

    def crash(self):
        """Fold the record anew: nothing is raised, and what has ended is known to have ended."""
        folded = fold(self)
        for name in self.scheduler.nodes:
            state = self.watch.finals.get(name)
            again = folded.nodes.get(name)
            if state is None:
                continue
            if again is None or again.state != state:
                found = again and again.state
                raise Violation(f"after folding: {name} is {found}, was {state}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], PipelineWorld))
