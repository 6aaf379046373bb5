"""Books of pipelines, kept beside the scheduler: the rules of queues, in other words than its own.

The books follow what happens event by event. From who has begun and who has ended, and from nothing
the scheduler says of itself, they work out what must be asked for in each turn, how each attempt
counts, and in which state each part of a pipeline is.
"""

from collections import Counter

from orchestrator.events import (
    Arrived,
    Cancelled,
    Drained,
    Ended,
    Expanded,
    Fired,
    Left,
    Postponed,
    Retrying,
    Skipped,
    Spoiled,
)
from orchestrator.nodes import (
    Arm,
    CloseQueue,
    EndQueue,
    GiveBack,
    Over,
    Resolve,
    SetAside,
    Stop,
    StopFeed,
)
from orchestrator.plan.model import POOL_OF
from tests.simulation import EPSILON_S, FINAL, NEVER, Watch

LEAVING_S = 0.2
WORST_FIRST = ("failed", "cancelled", "succeeded", "skipped")


class Part:
    """A member without instances, or an instance of one.

    *why*: as what it was told to end; *cause*: the task that ended its pipeline by then; *tries*:
    how often it failed with what it has in hand.
    """

    def __init__(self, name, stage, state):
        self.name, self.stage, self.state = name, stage, state
        self.attempt = self.tries = 0
        self.refused_since = None
        self.why = self.error = None
        self.gone = self.held = False
        self.ended_in = None


class Line:
    """A queue: who fills and reads it, and what was asked for it."""

    def __init__(self, spec):
        self.spec, self.fillers, self.readers = spec, [], []
        self.ended = self.closed = False

    def is_filled(self):
        """Tell whether anyone may still publish to it."""
        return any(stage.state is None for stage in self.fillers)

    def is_read(self, but=None):
        """Tell whether anyone, *but* one part, may still read it."""
        return any(
            stage.open or any(
                part.state not in FINAL and not part.gone and part is not but
                for part in stage.parts.values()
            )
            for stage in self.readers if stage.state is None
        )  # fmt: skip


class Stage:
    """A member of a pipeline: *parts* are what there is of it, *state* the one it ended in."""

    def __init__(self, spec, group):
        self.spec, self.group = spec, group
        self.streams = spec.source is not None
        self.elastic = self.streams or spec.foreach is not None or spec.items is not None
        self.fills = self.reads = None
        self.parts, self.seen = {}, set()
        self.open = self.closed = False
        self.wanted = self.arrived = 0
        # of a session before: it had begun, all items had come, and those to be tried again
        self.unopened, self.drained, self.pending = False, False, []
        self.state = self.at = None
        self.short_since, self.stranded = None, False  # it lost its slot to a thread that is stuck
        self.refused = self.hopeless = False  # the system had no means for it, and for too long

    def count(self, *states):
        """Return how many parts are in one of *states*."""
        return sum(part.state in states for part in self.parts.values())

    def slots(self):
        """Return how many slots it has: those in use, and those kept for what follows."""
        if self.state is not None:
            return self.count("running")
        kept = 1 if self.elastic else len(self.parts) - self.count(*FINAL)
        return max(self.count("running"), kept)

    def keeps_items(self):
        """Tell whether items that fail are set aside."""
        return self.streams and self.reads.spec.dead_letter is not None

    def may_fail(self):
        """Tell whether its failures end no pipeline and fail no run."""
        return self.spec.allow_failure or self.keeps_items()


class Group:
    """A pipeline: *cause* is the task that failed and ended it."""

    def __init__(self, pipeline, plan):
        self.stages = [Stage(plan.tasks[name], self) for name in pipeline.members]
        self.rank = min(rank_of(stage.spec) for stage in self.stages)
        self.lines = []
        self.begun = self.cause = None
        self.stopped = self.over = self.let_go = self.is_closing = False
        self.anew = False  # it had begun in a session before, of which a part is kept

    @property
    def needs(self):
        """The slots that it needs to begin, by pool; who has nothing to do needs none."""
        needs = {"threads": 0, "processes": 0}
        for stage in self.stages:
            if stage.state is None:
                needs[POOL_OF[stage.spec.mode]] += 1 if stage.elastic else stage.spec.replicas or 1
        return needs

    @property
    def wanted(self):
        """The resources that it needs to begin."""
        wanted = Counter()
        for stage in self.stages:
            if stage.state is None:
                times = 1 if stage.elastic else stage.spec.replicas or 1
                wanted.update({name: n * times for name, n in stage.spec.resources.items()})
        return wanted

    @property
    def is_ending(self):
        """Whether its members are being ended."""
        return self.cause is not None or self.stopped


def rank_of(spec):
    """Return what sorts tasks that wait to start."""
    return -spec.priority, spec.order


class Books(Watch):
    """What is known of pipelines from what happened: who has begun, who has ended, what follows."""

    def __init__(self, plan, scheduler, *, fail_fast):
        super().__init__(plan, scheduler, fail_fast=fail_fast)
        self.groups = [Group(pipeline, plan) for pipeline in plan.pipelines]
        self.stages = {stage.spec.name: stage for group in self.groups for stage in group.stages}
        self.lines = {name: Line(spec) for name, spec in plan.queues.items()}
        for stage in self.stages.values():
            spec = stage.spec
            if spec.publish is not None:
                stage.fills = self.lines[spec.publish]
                stage.fills.fillers.append(stage)
                if stage.fills not in stage.group.lines:
                    stage.group.lines.append(stage.fills)
            if (reads := spec.consume or spec.source) is not None:
                stage.reads = self.lines[reads]
                stage.reads.readers.append(stage)
        self.expected = []  # what must be asked for in this turn
        self.raw = None  # what was said of an end, before it was looked at
        self.started = []
        self.forgotten = Counter()
        self.skips = {}  # whether what was skipped was so for a failure
        self.left_over = None  # the free slots when the run was stalled
        self.turn = 0

    def part(self, name):
        """Return the part of a begun pipeline that is called *name*."""
        stage = self.stages.get(name.partition(".")[0])
        return stage.parts.get(name) if stage is not None else None

    def free(self, pool):
        """Return how many slots are free, but for those that pipelines have or keep."""
        held = sum(
            stage.slots() for stage in self.stages.values()
            if stage.group.begun is not None and POOL_OF[stage.spec.mode] == pool
        )  # fmt: skip
        return self.left_to_pipelines(pool) - held

    def left_to_pipelines(self, pool):
        """Return how many slots neither other tasks nor stuck threads have."""
        return super().free(pool)

    def free_of(self, resource):
        """Return how much of *resource* is free, but for what pipelines have or keep."""
        held = sum(
            stage.slots() * stage.spec.resources.get(resource, 0) for stage in self.stages.values()
            if stage.group.begun is not None
        )  # fmt: skip
        return super().free_of(resource) - held

    def take_resources(self, name):
        """Count what was started as taking what it asks for; of a pipeline only look at it."""
        if self.part(name) is None:
            super().take_resources(name)
            return
        for resource in self.spec(name).resources:
            running = sum(
                stage.count("running") * stage.spec.resources.get(resource, 0)
                for stage in self.stages.values()
            )
            fits = running <= super().free_of(resource)
            self._need(fits, f"{name} starts and there is not enough of {resource}")

    def give_back(self, name):
        """Count what an attempt had of resources as free, unless its pipeline keeps it."""
        if self.part(name) is None:
            super().give_back(name)

    def leave_resources(self, name):
        """Take note that the thread of an attempt has its resources still, whoever follows it."""
        if self.part(name) is not None:
            for resource, amount in self.spec(name).resources.items():
                self.taken[resource] += amount

    def bring_back(self, name):
        """Count what such a thread had as free."""
        super().give_back(name)

    def is_broken(self, stage):
        """Tell whether stuck threads have what *stage* is to start on."""
        lacks = any(self.free_of(resource) < 0 for resource in stage.spec.resources)
        return lacks or self.free(POOL_OF[stage.spec.mode]) < 0

    def will_mend(self, stage):
        """Tell whether somebody who has what *stage* lacks will end without it."""
        if self.free(POOL_OF[stage.spec.mode]) < 0:
            return False
        broken = {one.group for one in self.stages.values() if self.is_broken(one)}
        names = [
            name for name, unit in self.units.items()
            if unit.attempt is not None
            and (self.part(name) is None or self.part(name).stage.group not in broken)
        ]  # fmt: skip
        return all(
            self.free_of(resource) + amount * stage.slots()
            + sum(self.spec(name).resources.get(resource, 0) for name in names) >= amount
            for resource, amount in stage.spec.resources.items()
        )  # fmt: skip

    def now_free(self):
        """Return how many slots are free in each pool."""
        return {pool: self.free(pool) for pool in self.slots}

    def is_over(self, task):
        """Tell whether nothing of *task* runs or will run."""
        stage = self.stages.get(task)
        if stage is None or stage.group.begun is None:
            return super().is_over(task)
        return stage.state is not None

    # What is heard

    def heard(self, event, counted, stamp):
        """Take note of *event* and of what it counted as."""
        self.raw, self.turn = event, stamp[0]
        if event.__class__ is Postponed:
            self.raw = Ended(*event[:2], "launch_failed", event.at)
        super().heard(event, counted, stamp)
        self.raw = None
        handler = HEARD.get(event.__class__)
        if handler is not None:
            getattr(self, handler)(event, counted, stamp)

    # The system

    def was_told(self, name, counted):
        """Tell whether an attempt that was not started was told to end, and counts as such."""
        part = self.part(name)
        return super().was_told(name, counted) if part is None else part.why is not None

    def waits_since(self, event, pool):
        """Return since when nothing could be started; None where anything may change that."""
        part = self.part(event.task)
        if part is None:
            return super().waits_since(event, pool)
        if part.stage.elastic and part.stage.count("running") > 1:
            return None
        return float("-inf") if part.stage.hopeless else part.refused_since

    def gave_up_on(self, event, pool):
        """Take note that one was given up, so that others of it are not waited for."""
        part = self.part(event.task)
        if part is None:
            super().gave_up_on(event, pool)
        else:
            part.stage.hopeless = True

    def widen(self, pool):
        """Take note that one more may be tried, and what is kept slots for."""
        super().widen(pool)
        for stage in self.stages.values():
            stage.refused &= POOL_OF[stage.spec.mode] != pool

    def has_means(self, event):
        """Take note that an attempt ended that had what it needed."""
        super().has_means(event)
        stage = self.stages.get(event.task.partition(".")[0])
        if stage is not None and event.outcome != "launch_failed":
            stage.hopeless = False
            for part in stage.parts.values():
                part.refused_since = None

    def has_kept_slot(self, name):
        """Tell whether a slot is kept for what is to start."""
        part = self.part(name)
        return part is not None and not (part.stage.elastic and part.stage.count("running"))

    def _postponed(self, event, stamp):
        super()._postponed(event, stamp)
        part = self.part(event.task)
        if part is None:
            return
        part.attempt, part.state = event.attempt - 1, "ready"
        part.stage.refused = True
        if part.refused_since is None:
            part.refused_since = event.at
        if part.stage.closed:
            self.skip_unread(part, stamp)

    def _fired(self, event, _counted, stamp):
        match event.timer:
            case ("closed", queue):
                for stage in self.lines[queue].fillers:
                    for part in stage.parts.values():
                        self.tell(part, "ok")
            case ("timeout", task, attempt):
                self.time_out(self.running(task, attempt))
            case ("left", task, attempt):
                part = self.running(task, attempt)
                if part is not None and part.why is None and not self.would_try_again(part):
                    part.gone = True
                    self.review(part.stage.group, stamp, left=part)
            case ("held" | "retry" as kind, task, attempt):
                part = self.part(task)
                if part is None or part.state != "backoff" or part.attempt != attempt:
                    return
                if kind == "retry":
                    part.state = "ready"
                else:
                    self.give_up_held(part, stamp)

    def time_out(self, part):
        """Expect that *part* is told to end, unless the timer is that of a start before."""
        if part is not None:
            passed_s = self.scheduler.now - self.unit(part.name).since
            if passed_s >= part.stage.spec.timeout_s - EPSILON_S:
                self.tell(part, "timed_out")

    def would_try_again(self, part):
        """Tell whether *part* would read all of it again if it failed."""
        spec, line = part.stage.spec, part.stage.reads
        return line.spec.delivery == "at_least_once" and part.tries + 1 < spec.retry.attempts

    def stall(self, stamp):
        """Look at what is given up because only threads that are stuck could bring the run on."""
        super().stall(stamp)
        if self.stalled:
            for name in list(self.scheduler.nodes):  # any may be the first: that one is the cause
                part = self.part(name)
                if part is not None:
                    self.give_up_held(part, stamp)
            self.left_over = self.now_free()

    def give_up_held(self, part, stamp):
        """Expect that *part* is waited for no longer, if its thread has not returned."""
        if part.held and part.state == "backoff":
            self.moved = self.scheduler.now
            self.expected.append((Ended, part.name))
            self.end(part, "failed", stamp)

    def waiting(self):
        """Return what waits for the thread of its last attempt, but for parts of pipelines."""
        return [name for name in super().waiting() if self.part(name) is None]

    def has_hope(self):
        """Tell whether anything but threads that are stuck may bring the run on."""
        return super().has_hope() or any(stage.open for stage in self.stages.values())

    def _gone(self, event, _counted, _stamp):
        if self.running(event.task, event.attempt) is not None:
            self.expected.append(Arm(("left", event.task, event.attempt), LEAVING_S))

    def _spoiled(self, event, _counted, _stamp):
        part = self.running(event.task, event.attempt)
        if part is not None and part.why is None and not part.stage.closed:
            part.error = event.error
            self.tell(part, "failed")

    def _arrived(self, event, counted, _stamp):
        stage = self.stages[event.task]
        self._need((counted is not None) == stage.open, f"{event}: open is {stage.open}")
        stage.wanted -= 1
        if stage.open:
            stage.arrived += 1
            self.moved = event.at
            self.admit(stage, f"{event.task}.{event.number}")

    def _drained(self, event, counted, stamp):
        stage = self.stages[event.task]
        self._need((counted is not None) == stage.open, f"{event}: open is {stage.open}")
        if stage.open:
            stage.open = False
            self.moved = event.at
            self.look_at(stage, stamp)
            self.review(stage.group, stamp)

    def running(self, task, attempt):
        """Return the part of which this attempt is under way."""
        part = self.part(task)
        under_way = part is not None and part.state == "running" and part.attempt == attempt
        return part if under_way else None

    def tell(self, part, why):
        """Expect that *part* is told to end as *why*, if it runs and was not told before."""
        if part is not None and part.state == "running" and part.why is None:
            part.why = why
            self.expected.append(Stop(part.name, part.attempt, False))

    # What counted

    def _ended(self, event, stamp):
        part = self.part(event.task)
        super()._ended(event, stamp)
        if part is None:
            return
        if event.attempt == 0:
            if part.state not in FINAL:
                self.end(part, "failed", stamp)
            return
        state = self.state_after(part, event, stamp)
        part.held = event.left_running
        if state is None:
            part.state = "backoff"
            if part.held:
                self.expected.append(Arm(("held", part.name, part.attempt), self.plan.grace_s))
            else:
                self.expected.append((Retrying, part.name))
        else:
            self.end(part, state, stamp)

    def _unprepared(self, event, stamp):
        """Object where it could be told, or still be launched; return when it was given up."""
        part, stage = self.part(event.task), self.stages.get(event.task.partition(".")[0])
        if stage is None or stamp[1] == 0:
            return super()._unprepared(event, stamp)
        if part is None:
            self._need(self.stalled, f"{event.task} is given up and there is hope")
            needs = stage.group.needs.items()
            short = any(count > self.left_over[pool] for pool, count in needs)
            free = self.stalled[3]
            short |= any(count > free[name] for name, count in stage.group.wanted.items())
            self._need(short, f"{event.task} is given up and there are slots")
        elif part.state not in FINAL:
            waited_s = self.scheduler.now - (stage.short_since or self.scheduler.now)
            patient = self.stalled or stage.stranded or waited_s >= self.plan.grace_s - EPSILON_S
            self._need(part.state == "ready" and patient, f"{event.task} is given up too early")
            free = (self.left_over if self.stalled else self.now_free())[POOL_OF[stage.spec.mode]]
            self._need(free < 0 or self.is_broken(stage), f"{event.task} has its slot")
            stage.stranded = True
        return self.stalled[0] if self.stalled else stamp

    def check_outcome(self, event, unit):
        """Object where an attempt may not count as *event* says."""
        part = self.part(event.task)
        if part is None:
            super().check_outcome(event, unit)
            return
        outcome, error = self.as_it_counts(part, self.raw)
        said = event.error
        self._need(event.outcome == outcome, f"{event} counts as {event.outcome}, not {outcome}")
        fits = error is None or (said is not None and error in (said.type, said.message))
        self._need(fits, f"{event}: says {said}, not {error}")

    def as_it_counts(self, part, raw):
        """Return the outcome of what ended as *raw*, and the type, or the text, of its error."""
        stage, group = part.stage, part.stage.group
        if part.why == "timed_out":
            return "timed_out", "Timeout"
        if part.why == "failed":
            return "failed", part.error.message
        if part.why == "ok":
            return ("failed", "Timeout") if raw.left_running else ("ok", None)
        if part.why == "stopped":
            if group.cause in (None, part.name):
                return "stopped", "stopped with the run"
            return "stopped", f"stopped with its pipeline: task `{group.cause}` failed"
        if raw.outcome == "failed" and stage.spec.mode == "subprocess" and stage.fills is not None:
            return ("ok" if stage.closed or raw.cut else "failed"), None
        line = stage.reads
        if raw.outcome == "ok" and line is not None and not (stage.streams or stage.closed):
            early = raw.unread or (line.is_filled() and not line.ended)
            if early and line.spec.on_consumer_exit == "fail" and not line.is_read(but=part):
                return "failed", "EarlyExit"
        return raw.outcome, None

    def state_after(self, part, event, stamp):
        """Return the last state of *part*, which ended so; None where it is to be tried again."""
        if event.outcome in ("ok", "stopped"):
            return "succeeded" if event.outcome == "ok" else "cancelled"
        stage = part.stage
        part.tries = part.tries + 1 if event.item_failures is None else event.item_failures
        goes_on = not (stage.group.is_ending or stage.closed or event.final or stamp > self.stop)
        return None if goes_on and part.tries < stage.spec.retry.attempts else "failed"

    def _left(self, event, stamp):
        super()._left(event, stamp)
        stage = self.stages.get(event.task)
        if event.__class__ is Cancelled and stage is not None:
            stage.unopened = False
        if event.__class__ is Skipped:
            name = event.task.partition(".")[0]
            self.skips[name] = self.skips.get(name, False) or event.failure

    def _returned(self, event, stamp):
        super()._returned(event, stamp)
        part = self.part(event.task)
        if part is not None:
            part.held = False
            if part.state == "backoff":
                self.expected.append((Retrying, part.name))

    def _decided(self, event, stamp):
        super()._decided(event, stamp)
        part = self.part(event.task)
        if part is not None and event.run:
            part.state = "ready"
        elif part is not None:
            self.expected.append((Skipped, part.name))
            self.end(part, "skipped", stamp)

    def _expanded(self, event, stamp):
        super()._expanded(event, stamp)
        stage = self.stages.get(event.task)
        if stage is not None and stage.spec.foreach is not None and not event.instances:
            stage.state, stage.at = "succeeded", stamp

    def _stop_asked(self, event, stamp):
        first = self.stop is NEVER
        super()._stop_asked(event, stamp)
        for group in self.groups:
            if group.begun is None or group.over:
                continue
            group.stopped = True
            for stage in group.stages:
                for part in list(stage.parts.values()):
                    if part.state == "running" and not event.force:
                        self.tell(part, "stopped")
                    elif part.state == "running":
                        part.why = part.why or "stopped"
                    elif part.state not in FINAL:
                        self.cancel(part, stamp)
                self.cut_off(stage, stamp)
            self._need(first or event.force, "a second stop without force")

    # What follows

    def begin(self, group, stamp):
        """Let all of *group* go, if that may be."""
        self._need(group.begun is None, f"{group.stages[0].spec.name} begins twice")
        for stage in group.stages:
            name, spec = stage.spec.name, stage.spec
            for need in spec.needs:
                self._need(self.is_over(need), f"{name} begins before {need} has ended")
            if spec.when is not None and not stage.elastic and not group.anew:
                self._need(
                    self.decided.get(name, (False,))[0], f"{name} begins, `when` is not true"
                )
            if spec.foreach is not None and stage.state is None:
                self._need(name in self.expanded, f"{name} begins without its items")
        for pool, count in group.needs.items():
            short = count > max(0, self.free(pool)) or (count > 0 and self.is_short(pool))
            self._need(not short, f"{group.stages[0].spec.name} begins without slots in {pool}")
        for resource, count in group.wanted.items():
            enough = count <= self.free_of(resource)
            self._need(enough, f"{group.stages[0].spec.name} begins without enough {resource}")
        group.begun = stamp
        for stage in group.stages:
            if stage.state is None:
                self.begin_stage(stage)
        for stage in group.stages:
            self.look_at(stage, stamp)
        self.review(group, stamp)

    def begin_stage(self, stage):
        """Make the parts of *stage*."""
        name, spec = stage.spec.name, stage.spec
        if stage.streams:
            stage.open, stage.unopened = not stage.drained, False
            for each in stage.pending:
                self.admit(stage, each)
        elif stage.elastic:
            known = spec.foreach is None
            if known:
                self.expected.append((Expanded, name, len(spec.items)))
            for index in range(len(spec.items) if known else self.expanded[name][0]):
                self.admit(stage, f"{name}.{index}")
        elif spec.replicas is not None:
            self.expected.append((Expanded, name, spec.replicas))
            for index in range(spec.replicas):
                stage.parts[f"{name}.{index}"] = Part(f"{name}.{index}", stage, "ready")
        else:
            stage.parts[name] = Part(name, stage, "ready")

    def admit(self, stage, name):
        """Add an instance, which may start if its condition is true."""
        asked = stage.spec.when is not None
        stage.parts[name] = Part(name, stage, "asked" if asked else "ready")
        if asked:
            self.expected.append(Resolve(name))

    def end(self, part, state, stamp):
        """Give *part* its last state, and see to its stage and its pipeline."""
        stage = part.stage
        part.state, part.ended_in = state, self.turn
        stage.seen.add(state)
        if state == "failed" and stage.keeps_items():
            self.expected.append(SetAside(stage.reads.spec.name, part.name))
        elif state == "failed" and not stage.elastic and not stage.spec.allow_failure:
            self.fail(stage.group, part.name, stamp)
        self.look_at(stage, stamp)
        self.review(stage.group, stamp)

    def cancel(self, part, stamp):
        """Expect that *part*, which does not run, is cancelled."""
        self.expected.append((Cancelled, part.name))
        self.end(part, "cancelled", stamp)

    def cut_off(self, stage, stamp):
        """Expect that no more items come into *stage*."""
        if stage.open:
            stage.open = False
            stage.seen.add("cancelled")
            self.expected += [(Cancelled, stage.spec.name), StopFeed(stage.spec.name)]
            self.look_at(stage, stamp)
            self.review(stage.group, stamp)

    def look_at(self, stage, stamp):
        """End *stage* if there is nothing more of it."""
        left = any(part.state not in FINAL for part in stage.parts.values())
        if stage.state is not None or stage.open or left:
            return
        stage.at = stamp
        stage.state = next((s for s in WORST_FIRST if s in stage.seen), "succeeded")
        if stage.state == "failed" and not stage.may_fail():
            self.fail(stage.group, stage.spec.name, stamp)

    def fail(self, group, cause, stamp):
        """End *group* because *cause* failed."""
        if group.is_ending:
            return
        group.cause = cause
        for stage in group.stages:
            for part in list(stage.parts.values()):
                if part.name == cause or part.state in FINAL:
                    continue
                if part.state == "running":
                    self.tell(part, "stopped")
                else:
                    self.cancel(part, stamp)
            self.cut_off(stage, stamp)

    def review(self, group, stamp, left=None):
        """Close and end the queues of *group* that nobody reads or fills, *left* the last."""
        if group.is_closing:
            return  # not before all are told
        goes_on = group.begun is not None and not group.is_ending
        unread = [
            line for line in group.lines
            if goes_on and line.is_filled() and not line.closed and not line.is_read()
        ]  # fmt: skip
        if unread:  # first of all: who is closed may have failed, and then no queue ends
            line = unread[0]
            line.closed = group.is_closing = True
            to_blame = left is not None and not left.stage.spec.allow_failure
            to_blame = to_blame and not left.stage.closed
            if to_blame and line.spec.on_consumer_exit == "fail":
                self.fail(group, left.name, stamp)
            else:
                self.close(line, stamp)
            group.is_closing = False
            self.review(group, stamp)
            return
        for line in group.lines:
            if goes_on and not line.ended and not line.is_filled():
                line.ended = True
                self.expected.append(EndQueue(line.spec.name))
        over = group.begun is not None and all(stage.state for stage in group.stages)
        if over and not group.over:
            group.over = True
            self.expected.append((Over, *sorted(line.spec.name for line in group.lines)))

    def skip_unread(self, part, stamp):
        """Expect that *part*, which does not run and which nobody reads, is skipped."""
        if part.stage.streams and not part.attempt:
            self.expected.append(GiveBack(part.name))
        self.expected.append((Skipped, part.name))
        self.end(part, "skipped", stamp)

    def close(self, line, stamp):
        """Expect that who fills *line* is told that nobody reads it."""
        drain = line.spec.on_consumer_exit == "drain"
        self.expected.append(CloseQueue(line.spec.name, drain))
        if drain:
            return
        self.expected.append(Arm(("closed", line.spec.name), self.plan.grace_s))
        for stage in line.fillers:
            if stage.state is not None:
                continue
            stage.closed = True
            for part in list(stage.parts.values()):
                if part.state not in FINAL and part.state != "running":
                    self.skip_unread(part, stamp)
            if stage.open:
                stage.open = False
                self.expected += [(Drained, stage.spec.name), StopFeed(stage.spec.name)]
                self.look_at(stage, stamp)
                self.review(stage.group, stamp)


HEARD = {
    Fired: "_fired",
    Left: "_gone",
    Spoiled: "_spoiled",
    Arrived: "_arrived",
    Drained: "_drained",
}
