"""What must hold of pipelines after every turn, and in the end.

What the scheduler asked for, how attempts counted, and the states of all parts are compared with
the books; slots are counted; at the end ``judge`` adds what need not be followed.
"""

from collections import Counter

from orchestrator.events import Cancelled, Drained, Ended, Expanded, Retrying, Skipped
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
from orchestrator.plan.model import POOL_OF
from tests.pipeline_books import Books, rank_of
from tests.pipeline_judge import judge
from tests.simulation import EPSILON_S, FINAL, NEVER, claim, rank

# What a part is, in the words of the scheduler.
STATES = {"asked": "waiting"}


class PipelineWatch(Books):
    """Looks over the shoulder of a scheduler that has pipelines."""

    # Starts

    def _started(self, event, stamp):
        self.started.append(event.task)
        stage = self.stages.get(event.task.partition(".")[0])
        if stage is not None:
            if stage.group.begun is None:
                self.begin(stage.group, stamp)
            part = self.part(event.task)
            waits = stage.refused and self.has_kept_slot(event.task)
            self._need(not waits, f"{event.task} starts though the system has no means")
            ready = part is not None and part.state == "ready"
            self._need(ready, f"{event.task} starts and is {part and part.state}")
        super()._started(event, stamp)

    def may_try(self, name, number):
        """Tell whether there may be an attempt *number*."""
        part = self.part(name)
        if part is None:
            return super().may_try(name, number)
        return part.tries < part.stage.spec.retry.attempts

    def cleans(self, spec):
        """Tell whether *spec* may make its first attempt after the stop."""
        stage = self.stages.get(spec.name)
        return super().cleans(spec) and (stage is None or stage.group.begun > self.stop)

    def take_slot(self, name, pool):
        """Count a slot for what was started."""
        part = self.part(name)
        if part is None:
            super().take_slot(name, pool)
            return
        part.state, part.attempt = "running", part.attempt + 1
        part.why = part.error = None
        part.gone = False
        running = sum(
            stage.count("running") for stage in self.stages.values()
            if POOL_OF[stage.spec.mode] == pool
        )  # fmt: skip
        self._need(self.left_to_pipelines(pool) >= running, f"{name}: no slot in {pool}")

    def give_back_slot(self, name, pool):
        """Count a slot for what ended."""
        if self.part(name) is None:
            super().give_back_slot(name, pool)

    def tries(self, event):
        """Return how many tries there were before the delay of *event*."""
        part = self.part(event.task)
        return super().tries(event) if part is None else max(1, part.tries)

    def may_be_told(self, name):
        """Tell whether there is a reason to end an attempt but its time limit and a stop."""
        part = self.part(name)
        return part is not None and part.why is not None

    def _told_of_queues(self, action, stamp):
        group = self.group_of(action)
        if group.begun is None:
            self.begin(group, stamp)
        self._need(not group.let_go, f"{action} and its pipeline is over")
        group.let_go = action.__class__ is Over

    def _finish(self, event, stamp):
        super()._finish(event, stamp)
        for group in self.groups:
            name = group.stages[0].spec.name
            over = group.let_go or group.begun is None
            self._need(over, f"the run ends and the pipeline of {name} is not over")

    def group_of(self, action):
        """Return the pipeline that *action* is about."""
        match action:
            case Feed(name, _):
                return self.stages[name].group
            case EndQueue(name) | CloseQueue(name, _) | Over((name, *_)):
                return self.lines[name].fillers[0].group

    def fact(self, event, stamp):
        """Take note of what counted, or was decided, and object."""
        self.turn = stamp[0]
        if event.__class__ in (Feed, EndQueue, CloseQueue, Over):
            self._told_of_queues(event, stamp)
        lists = event.__class__ is Expanded and event.task in self.stages and stamp[1] == 2
        if lists and self.stages[event.task].group.begun is None:
            self.begin(self.stages[event.task].group, stamp)
        if event.__class__ is Forget:
            self.forget(event.task)
        super().fact(event, stamp)

    def forget(self, name):
        """Object where what is known of an item is let go of too early."""
        part, stage = self.part(name), self.stages[name.partition(".")[0]]
        if part is None and stage.group.begun is None and name in stage.pending:
            self.forgotten[self.finals[name]] += 1  # it was dropped before it could begin anew
            return
        known = part is not None and part.stage.streams and part.state in FINAL
        self._need(known and not part.held, f"{name} is forgotten")
        self._need(part.ended_in < self.turn, f"{name} is forgotten in the turn of its end")
        self.forgotten[part.state] += 1

    # After a turn

    def check(self, actions):
        """Check the whole after a turn."""
        self.compare(actions)
        self.check_parts()
        self.check_feeds(actions)
        super().check(actions)
        self.expected, self.started = [], []

    def compare(self, actions):
        """Compare what was asked for with what must be.

        Whether a queue ended that nobody reads, in the turn in which its pipeline failed, is open.
        """
        self.expected = [wanted for wanted in self.expected if not self.is_idle_end(wanted)]
        known = [seen for action in actions if (seen := self.as_expected(action)) is not None]
        missing = Counter(self.expected) - Counter(known)
        self._need(not missing, f"not asked for: {next(iter(missing), None)}")
        surplus = Counter(known) - Counter(self.expected)
        self._need(not surplus, f"asked for in vain: {next(iter(surplus), None)}")
        for group in self.groups:
            names = {stage.spec.name for stage in group.stages}
            stops = [[seen.task for seen in found if seen.__class__ is Stop
                      and seen.task.partition(".")[0] in names]
                     for found in (known, self.expected)]  # fmt: skip
            in_order = group.cause is None or group.stopped or stops[0] == stops[1]
            self._need(in_order, f"told to stop in the order {stops[0]}, not {stops[1]}")

    def is_idle_end(self, action):
        """Tell whether *action* ends a queue for nobody."""
        if action.__class__ is not EndQueue:
            return False
        line = self.lines[action.queue]
        return line.closed and line.fillers[0].group.cause is not None

    def as_expected(self, action):
        """Return *action* in the words of what is expected; None where it is not looked at."""
        match action:
            case StopFeed(name) if not self.has_begun_with(name):
                return None
            case EndQueue() | CloseQueue() | SetAside() | GiveBack() | StopFeed():
                return None if self.is_idle_end(action) else action
            case Over(names):
                return (Over, *sorted(names))
            case Arm(("closed" | "left" | "held", *_), _):
                return action
            case Expanded(name, _, count) if name in self.stages:
                return (Expanded, name, count)
            case Drained(name) | Ended(name, 0) if (action.__class__, name) in self.expected:
                return (action.__class__, name)
            case Skipped(name) | Cancelled(name) if self.has_begun_with(name):
                return (action.__class__, name)
            case Stop(name, _, False) | Resolve(name) if self.part(name) is not None:
                return action
            case Retrying(name) if self.part(name) is not None:
                return (Retrying, name)
        return None

    def has_begun_with(self, name):
        """Tell whether *name* belongs to a pipeline that has begun."""
        stage = self.stages.get(name.partition(".")[0])
        return stage is not None and stage.group.begun is not None

    def check_parts(self):
        """Object where the scheduler takes a part for something else, or a kept slot is idle."""
        nodes = self.scheduler.nodes
        for stage in self.stages.values():
            if stage.group.begun is None:
                continue
            for name, part in stage.parts.items():
                node = nodes.get(name)
                if node is None:
                    fits = stage.streams and part.state in FINAL
                    self._need(fits, f"{name} is not known any more and is {part.state}")
                    continue
                state = STATES.get(part.state, part.state)
                self._need(node.state == state, f"{name} is {node.state}, must be {state}")
                old = stage.streams and state in FINAL and part.ended_in < self.turn - 1
                self._need(not old or part.held, f"{name} has ended and is not forgotten")
            if stage.state is not None:
                state = nodes[stage.spec.name].state
                self._need(state == stage.state, f"{stage.spec.name}: {state}, not {stage.state}")
            self.check_kept_slot(stage)

    def check_kept_slot(self, stage):
        """Object where *stage* could start something on a slot of its own."""
        now, name = self.scheduler.now, stage.spec.name
        idle = stage.count("ready") and not (stage.elastic and stage.count("running"))
        idle = idle and not stage.refused
        short = self.is_broken(stage)
        self._need(short or not idle, f"{name} is ready and its slot is idle")
        stage.stranded = stage.stranded and short
        if not (short and idle) or self.will_mend(stage):
            stage.short_since = None
        elif stage.short_since is None:
            stage.short_since = now
        else:
            waited_s = now - stage.short_since
            self._need(waited_s <= self.plan.grace_s + EPSILON_S, f"{name} waits for a slot")

    def check_feeds(self, actions):
        """Object where more is taken from queues than there is room for, or too little."""
        before = {name: stage.wanted for name, stage in self.stages.items()}
        for action in actions:
            if action.__class__ is Feed:
                stage = self.stages[action.task]
                self._need(stage.open, f"{action} and it is not open")
                stage.wanted += action.most
        for name, stage in self.stages.items():
            if stage.open:
                room = self.room(stage)
                self._need(stage.wanted <= max(before[name], room), f"{name}: no room for that")
                self._need(stage.wanted >= room, f"{name}: has room, nothing is wanted")

    def room(self, stage):
        """Return how many items *stage* may take beside those that are under way."""
        free = max(0, self.free(POOL_OF[stage.spec.mode]))
        for resource, amount in stage.spec.resources.items():
            free = min(free, max(0, self.free_of(resource)) // amount)
        return free + stage.slots() - (len(stage.parts) - stage.count(*FINAL))

    def check_states(self):
        """Object to states that cannot be, and return how many there are of each."""
        counts = super().check_states()
        for name, stage in self.stages.items():
            if stage.streams and stage.arrived and not (stage.open or stage.unopened):
                counts[self.scheduler.nodes[name].state] -= 1  # its instances are counted
        for state, count in self.forgotten.items():
            counts[state] += count
        return counts

    def check_order(self, _actions):
        """Object where a slot is free for what waits, or the wrong one was started."""
        blocked, lacking = self.check_groups()
        for pool in self.slots:
            started = [rank_of(self.spec(name)) for name in self.chosen(pool)]
            if self.some_had_nothing_to_do():
                started = []
            waiting = [
                rank(node)[:2] for name, node in self.scheduler.nodes.items()
                if node.state == "ready" and node.pool == pool and self.may_wait(name)
                and name not in lacking
            ]  # fmt: skip
            before = blocked[pool]
            if before is not None:
                behind = all(found < before for found in started)
                # of resources that are free now, one without a slot may have had a claim before
                behind |= self.has_turned_away()
                self._need(behind, f"{pool}: a pipeline of rank {before} was overtaken: {started}")
                waiting = [found for found in waiting if found < before]
            if waiting:
                first = min(waiting)
                behind = not started or max(started) <= first or self.plan.resources
                self._need(behind, f"{pool}: {first} was passed over for {started}")
                full = self.is_full(pool) or self.is_short(pool)
                self._need(full, f"{pool}: {first} waits and a slot is free")

    def has_turned_away(self):
        """Tell whether somebody waits who had a slot, and not its resources."""
        nodes, refused = self.scheduler.nodes, self.scheduler.semaphores.refused
        return any(name in nodes and nodes[name].state == "ready" for name in refused)

    def some_had_nothing_to_do(self):
        """Tell whether a member ended as it began: what waited for it was not ready before."""
        return any(
            not stage.parts and not stage.streams and stage.at is not None
            and stage.group.begun is not None and stage.group.begun[0] == self.turn
            for stage in self.stages.values()
        )  # fmt: skip

    def chosen(self, pool):
        """Yield what was started in this turn on a slot that was free for all."""
        counts = Counter()
        for name in self.started:
            part, spec = self.part(name), self.spec(name)
            if POOL_OF[spec.mode] != pool:
                continue
            if part is None:
                yield name
            elif part.stage.elastic:
                counts[spec.name] += 1
        for name, count in counts.items():
            yield from [name] * min(count, max(0, self.stages[name].count("running") - 1))

    def may_wait(self, name):
        """Tell whether *name*, which is ready, waits for a slot that is free for all."""
        stage, part = self.stages.get(name.partition(".")[0]), self.part(name)
        if stage is None or part is None:
            return stage is None
        return stage.elastic and not stage.refused and not self.is_broken(stage)

    def check_groups(self):
        """Object where a pipeline waits in vain.

        Return the first rank of those that wait, by pool, and who else waits for resources, and for
        which, as in ``lacking``.
        """
        blocked = dict.fromkeys(self.slots)
        left, found, firsts = self.left_by_broken(), {}, []
        for found_rank, who, wanted in self.in_line():
            if isinstance(who, str):
                if self.may_claim(who, blocked) and not claim(left, wanted):
                    found[who] = set(wanted)
                continue
            pools = [pool for pool, count in who.needs.items() if count]
            before = dict(left)
            has_resources = claim(left, wanted)
            if wanted in firsts:  # of those who ask for the same only the first one claims it
                left = before
            elif not has_resources:
                self.check_fair(who, wanted)
            firsts.append(wanted)
            fits = has_resources and all(
                who.needs[pool] <= self.free(pool) and not (blocked[pool] or self.is_short(pool))
                for pool in pools
            )
            self._need(not fits, f"the pipeline of {who.stages[0].spec.name} waits and fits")
            for pool in pools if has_resources else ():
                blocked[pool] = blocked[pool] or found_rank
        return blocked, found

    def left_by_broken(self):
        """Return how much of each resource those leave who lost theirs to a thread that is stuck.

        Of what one of them asks for there is nothing for others.
        """
        left = self.all_free()
        for stage in self.stages.values():
            has_begun = stage.group.begun is not None and stage.state is None
            if has_begun and any(self.free_of(name) < 0 for name in stage.spec.resources):
                left |= dict.fromkeys(stage.spec.resources, 0)
        return left

    def in_line(self):
        """Return the pipelines that wait, and who waits for resources, in order.

        Each with its rank and what it asks for: pipelines as such, others by their names.
        """
        gangs = zip(self.groups, self.scheduler.pipelines.gangs, strict=True)
        found = [
            (group.rank, group, group.wanted) for group, gang in gangs if gang.state == "ready"
        ]
        for name, node in self.scheduler.nodes.items():
            if node.state == "ready" and node.spec.resources and self.may_grow(name):
                found.append((rank(node)[:2], name, node.spec.resources))
        return sorted(found, key=lambda waits: waits[0])

    def may_grow(self, name):
        """Tell whether *name*, which is ready, waits for resources that nobody keeps for it."""
        part = self.part(name)
        return self.may_wait(name) and (part is None or part.stage.count("running") > 0)

    def may_claim(self, name, blocked):
        """Tell whether *name* has a slot, or has lost it to who ranks behind it."""
        nodes = self.scheduler.nodes
        node, pool = nodes[name], nodes[name].pool
        if self.is_short(pool) or (blocked[pool] is not None and blocked[pool] <= rank(node)[:2]):
            return False
        if not self.is_full(pool):
            return True
        run = [rank(n)[:2] for n in nodes.values() if n.state == "running" and n.pool == pool]
        turned_away = name in self.scheduler.semaphores.refused
        return turned_away and min(run, default=()) > rank(node)[:2]

    def check_fair(self, group, wanted):
        """Object where one took what *group*, which is of a better rank, lacks."""
        if self.some_had_nothing_to_do():
            return
        for pool in self.slots:
            for name in self.chosen(pool):
                spec = self.spec(name)
                fair = rank_of(spec) < group.rank or wanted.keys().isdisjoint(spec.resources)
                self._need(fair, f"{name} took what {group.stages[0].spec.name} waits for")

    # The end

    def ended(self, finished):
        """Compare the end with the one that must be."""
        super().ended(finished)
        scheduler = self.scheduler
        for group in self.groups:
            if group.cause is not None:
                state = self.finals.get(group.cause, "failed")
                fits = state == "failed" or (state == "cancelled" and self.stop is not NEVER)
                self._need(fits, f"{group.cause} ended a pipeline and is {state}")
        states = {name: node.state for name, node in scheduler.nodes.items()}
        lost = [name for name, state in states.items() if state not in FINAL]
        self._need(not lost, f"the run ends and {lost} have not")
        self._need(scheduler.unfinished == 0, f"{scheduler.unfinished} are unfinished in the end")
        free = self.now_free()
        self._need(scheduler.free == free, f"free in the end: {scheduler.free}, in truth {free}")

    def judge(self):
        """Return the states that must come out, and how the run must end."""
        return judge(self)
