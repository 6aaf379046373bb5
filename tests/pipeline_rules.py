"""What must hold of pipelines: the rules of queues, as books that are kept beside the scheduler.

The books follow what happens event by event. From who has begun and who has ended, and from nothing
the scheduler says of itself, they work out what must be asked for in each turn, how each attempt
counts, and in which state each part of a pipeline is; all three are compared after every turn. At
the end ``judge`` adds what need not be followed: whether a pipeline had to begin at all.
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
    Retrying,
    Skipped,
    Spoiled,
)
from orchestrator.nodes import (
    Arm,
    CloseQueue,
    EndQueue,
    Feed,
    Forget,
    Over,
    Resolve,
    SetAside,
    Stop,
)
from orchestrator.plan.model import POOL_OF
from tests.simulation import (
    EPSILON_S,
    FINAL,
    NEVER,
    Verdict,
    Violation,
    Watch,
    failures_of,
    held_back,
    how_it_ends,
    judge_task,
    moments,
    rank,
    weigh,
)

LEAVING_S = 0.2
WORST_FIRST = ("failed", "cancelled", "succeeded", "skipped")
# What a part is, in the words of the scheduler.
STATES = {"asked": "waiting"}


class Part:
    """A member without instances, or an instance of one.

    *why*: as what it was told to end; *cause*: the task that ended its pipeline by then; *tries*:
    how often it failed with what it has in hand.
    """

    def __init__(self, name, stage, state):
        self.name, self.stage, self.state = name, stage, state
        self.attempt = self.tries = 0
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
        self.state = self.at = None
        self.short_since, self.stranded = None, False  # it lost its slot to a thread that is stuck

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
        self.needs = {"threads": pipeline.threads, "processes": pipeline.processes}
        self.rank = min(rank_of(stage.spec) for stage in self.stages)
        self.lines = []
        self.begun = self.cause = None
        self.stopped = self.over = False

    @property
    def is_ending(self):
        """Whether its members are being ended."""
        return self.cause is not None or self.stopped


def rank_of(spec):
    """Return what sorts tasks that wait to start."""
    return -spec.priority, spec.order


class PipelineWatch(Watch):
    """Looks over the shoulder of a scheduler that has pipelines."""

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
        self.turn = 0

    def part(self, name):
        """Return the part of a begun pipeline that is called *name*."""
        stage = self.stages.get(name.partition(".")[0])
        return stage.parts.get(name) if stage is not None else None

    # What is heard

    def heard(self, event, counted, stamp):
        """Take note of *event* and of what it counted as."""
        self.raw, self.turn = event, stamp[0]
        super().heard(event, counted, stamp)
        self.raw = None
        handler = HEARD.get(event.__class__)
        if handler is not None:
            getattr(self, handler)(event, counted, stamp)

    def _fired(self, event, _counted, stamp):
        match event.timer:
            case ("closed", queue):
                for stage in self.lines[queue].fillers:
                    for part in stage.parts.values():
                        self.tell(part, "ok")
            case ("left", task, attempt):
                part = self.running(task, attempt)
                if part is not None and part.why is None:
                    part.gone = True
                    self.review(part.stage.group, stamp, left=part)
            case ("held", task, attempt):
                part = self.part(task)
                if part is not None and part.state == "backoff" and part.attempt == attempt:
                    self.give_up_held(part, stamp)
            case ("timeout", task, attempt):
                self.tell(self.running(task, attempt), "timed_out")
            case ("retry", task, attempt):
                part = self.part(task)
                if part is not None and part.state == "backoff" and part.attempt == attempt:
                    part.state = "ready"
            case _:
                pass

    def stall(self, stamp):
        """Look at what is given up because only threads that are stuck could bring the run on."""
        super().stall(stamp)
        if self.stalled:
            for stage in self.stages.values():
                for part in list(stage.parts.values()):
                    self.give_up_held(part, stamp)

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
            short = any(count > self.free(pool) for pool, count in stage.group.needs.items())
            self._need(self.stalled, f"{event.task} is given up and there is hope")
            self._need(short, f"{event.task} is given up and there are slots")
        elif part.state not in FINAL:
            waited_s = self.scheduler.now - (stage.short_since or self.scheduler.now)
            patient = self.stalled or stage.stranded or waited_s >= self.plan.grace_s - EPSILON_S
            self._need(part.state == "ready" and patient, f"{event.task} is given up too early")
            self._need(self.free(POOL_OF[stage.spec.mode]) < 0, f"{event.task} has its slot")
            stage.stranded = True
        return stamp

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
            if spec.when is not None and not stage.elastic:
                self._need(
                    self.decided.get(name, (False,))[0], f"{name} begins, `when` is not true"
                )
            if spec.foreach is not None:
                self._need(name in self.expanded, f"{name} begins without its items")
        for pool, count in group.needs.items():
            short = count > max(0, self.free(pool))
            self._need(not short, f"{group.stages[0].spec.name} begins without slots in {pool}")
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
            stage.open = True
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
            self.expected.append((Cancelled, stage.spec.name))
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
        """End and close the queues of *group* that nobody fills or reads, *left* the last."""
        for line in group.lines:
            if group.begun is None or group.is_ending:
                break
            if not line.is_filled():
                if not line.ended:
                    line.ended = True
                    self.expected.append(EndQueue(line.spec.name))
            elif not line.closed and not line.is_read():
                line.closed = True
                to_blame = left is not None and not left.stage.spec.allow_failure
                to_blame = to_blame and not left.stage.closed
                if to_blame and line.spec.on_consumer_exit == "fail":
                    self.fail(group, left.name, stamp)
                else:
                    self.close(line, stamp)
                self.review(group, stamp)
        over = group.begun is not None and all(stage.state for stage in group.stages)
        if over and not group.over:
            group.over = True
            self.expected.append((Over, *sorted(line.spec.name for line in group.lines)))

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
                    self.expected.append((Skipped, part.name))
                    self.end(part, "skipped", stamp)
            if stage.open:
                stage.open = False
                self.expected.append((Drained, stage.spec.name))
                self.look_at(stage, stamp)
                self.review(stage.group, stamp)

    # Starts

    def _started(self, event, stamp):
        self.started.append(event.task)
        stage = self.stages.get(event.task.partition(".")[0])
        if stage is not None:
            if stage.group.begun is None:
                self.begin(stage.group, stamp)
            part = self.part(event.task)
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
        self._need(super().free(pool) >= running, f"{name}: no slot in {pool}")

    def give_back_slot(self, name, pool):
        """Count a slot for what ended."""
        if self.part(name) is None:
            super().give_back_slot(name, pool)

    def free(self, pool):
        """Return how many slots are free, but for those that pipelines have or keep."""
        held = sum(
            stage.slots() for stage in self.stages.values()
            if stage.group.begun is not None and POOL_OF[stage.spec.mode] == pool
        )  # fmt: skip
        return super().free(pool) - held

    def tries(self, event):
        """Return how many tries there were before the delay of *event*."""
        part = self.part(event.task)
        return super().tries(event) if part is None else max(1, part.tries)

    def may_be_told(self, name):
        """Tell whether there is a reason to end an attempt but its time limit and a stop."""
        part = self.part(name)
        return part is not None and part.why is not None

    def is_over(self, task):
        """Tell whether nothing of *task* runs or will run."""
        stage = self.stages.get(task)
        if stage is None or stage.group.begun is None:
            return super().is_over(task)
        return stage.state is not None

    def _told_of_queues(self, action, stamp):
        group = self.group_of(action)
        if group is not None and group.begun is None:
            self.begin(group, stamp)

    def group_of(self, action):
        """Return the pipeline that *action* is about."""
        match action:
            case Feed(name, _):
                return self.stages[name].group
            case EndQueue(name) | CloseQueue(name, _) | Over((name, *_)):
                return self.lines[name].fillers[0].group
        return None

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
        part = self.part(name)
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
        """Compare what was asked for with what must be."""
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

    def as_expected(self, action):
        """Return *action* in the words of what is expected; None where it is no matter of theirs."""
        match action:
            case EndQueue() | CloseQueue() | SetAside():
                return action
            case Over(names):
                return (Over, *sorted(names))
            case Arm(("closed" | "left" | "held", *_), _):
                return action
            case Drained(name):
                return (Drained, name)
            case Ended(name, 0) if (Ended, name) in self.expected:
                return (Ended, name)
            case Stop(name, _, False) if self.part(name) is not None:
                return action
            case Resolve(name) if self.part(name) is not None:
                return action
            case Retrying(name) if self.part(name) is not None:
                return (Retrying, name)
            case Expanded(name, _, count) if name in self.stages:
                return (Expanded, name, count)
            case Skipped(name) | Cancelled(name) if self.has_begun_with(name):
                return (action.__class__, name)
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
        short = self.free(POOL_OF[stage.spec.mode]) < 0
        self._need(short or not idle, f"{name} is ready and its slot is idle")
        stage.stranded = stage.stranded and short
        if not (short and idle):
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
        return free + stage.slots() - (len(stage.parts) - stage.count(*FINAL))

    def check_states(self):
        """Object to states that cannot be, and return how many there are of each."""
        counts = super().check_states()
        for name, stage in self.stages.items():
            if stage.streams and stage.arrived and not stage.open:
                counts[self.scheduler.nodes[name].state] -= 1  # its instances are counted
        for state, count in self.forgotten.items():
            counts[state] += count
        return counts

    def check_order(self, _actions):
        """Object where a slot is free for what waits, or the wrong one was started."""
        blocked = self.check_groups()
        for pool in self.slots:
            started = [rank_of(self.spec(name)) for name in self.chosen(pool)]
            waiting = [
                rank(node)[:2] for name, node in self.scheduler.nodes.items()
                if node.state == "ready" and node.pool == pool and self.may_wait(name)
            ]  # fmt: skip
            before = blocked[pool]
            if before is not None:
                behind = all(found < before for found in started)
                self._need(behind, f"{pool}: a pipeline of rank {before} was overtaken: {started}")
                waiting = [found for found in waiting if found < before]
            if waiting:
                first = min(waiting)
                behind = not started or max(started) <= first
                self._need(behind, f"{pool}: {first} was passed over for {started}")
                self._need(self.is_full(pool), f"{pool}: {first} waits and a slot is free")

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
        part = self.part(name)
        return part is None or part.stage.elastic

    def check_groups(self):
        """Object where a pipeline waits in vain; return the first rank that waits, by pool."""
        blocked = dict.fromkeys(self.slots)
        ready = [
            group for group, gang in zip(self.groups, self.scheduler.pipelines.gangs, strict=True)
            if gang.state == "ready"
        ]  # fmt: skip
        for group in sorted(ready, key=lambda group: group.rank):
            pools = [pool for pool, count in group.needs.items() if count]
            fits = all(group.needs[pool] <= self.free(pool) and not blocked[pool] for pool in pools)
            self._need(not fits, f"the pipeline of {group.stages[0].spec.name} waits and fits")
            for pool in pools:
                blocked[pool] = blocked[pool] or group.rank
        return blocked

    # The end

    def ended(self, finished):
        """Compare the end with the one that must be."""
        super().ended(finished)
        scheduler = self.scheduler
        for group in self.groups:
            name = group.stages[0].spec.name
            self._need(group.over or group.begun is None, f"the pipeline of {name} is not over")
            if group.cause is not None:
                state = self.finals.get(group.cause, "failed")
                fits = state == "failed" or (state == "cancelled" and self.stop is not NEVER)
                self._need(fits, f"{group.cause} ended a pipeline and is {state}")
        states = {name: node.state for name, node in scheduler.nodes.items()}
        lost = [name for name, state in states.items() if state not in FINAL]
        self._need(not lost, f"the run ends and {lost} have not")
        self._need(scheduler.unfinished == 0, f"{scheduler.unfinished} are unfinished in the end")
        free = {pool: self.free(pool) for pool in self.slots}
        self._need(scheduler.free == free, f"free in the end: {scheduler.free}, in truth {free}")

    def judge(self):
        """Return the states that must come out, and how the run must end."""
        return judge(self)


HEARD = {
    Fired: "_fired",
    Left: "_gone",
    Spoiled: "_spoiled",
    Arrived: "_arrived",
    Drained: "_drained",
}


# What must come out


def judge(watch):
    """Return the state of every task and instance, and the run's state and exit code."""
    states, verdicts = {}, {}
    failed = False
    for block in in_order(watch):
        if block[0] in watch.stages:
            found = judge_group(watch, watch.stages[block[0]].group, verdicts, states)
        else:
            spec = watch.plan.tasks[block[0]]
            needs = [verdicts[need] for need in spec.needs]
            found = {spec.name: judge_task(watch, spec, needs, states)}
        for name, verdict in found.items():
            states[name], verdicts[name] = verdict.state, verdict
            failed |= weigh_member(watch, name, verdict)
    return states, how_it_ends(watch, failed=failed)


def weigh_member(watch, name, verdict):
    """Complete what *verdict* is to those that need *name*; tell whether it fails the run."""
    stage, spec = watch.stages.get(name), watch.plan.tasks[name]
    if stage is None or stage.group.begun is None or not stage.keeps_items():
        return weigh(watch, spec, verdict)
    cut_off = "cancelled" in stage.seen and not spec.allow_failure
    if cut_off:
        verdict.kind = "bad"
    return False


def in_order(watch):
    """Yield the names of tasks that start together, so that every need comes first."""
    plan, done = watch.plan, set()
    left = [line.members for line in plan.pipelines]
    left += [(name,) for name in plan.tasks if name not in watch.stages]
    while left:
        rest = []
        for block in left:
            if done.issuperset(need for name in block for need in plan.tasks[name].needs):
                done.update(block)
                yield block
            else:
                rest.append(block)
        left = rest


def judge_group(watch, group, verdicts, states):
    """Return the verdicts on the members of a pipeline, and leave those on instances in *states*."""
    causes = causes_of(watch, group, verdicts)
    if group.begun is not None:
        early = [name for at, name, _ in causes if at < group.begun]
        if early:
            raise Violation(f"a pipeline begins though {early[0]} cannot run")
        for stage in group.stages:
            states.update((name, part.state) for name, part in stage.parts.items())
        return {
            stage.spec.name: Verdict(
                stage.state, stage.at, "idle" if stage.state == "skipped" else "good"
            )
            for stage in group.stages
        }
    if not causes:
        raise Violation(f"the pipeline of {group.stages[0].spec.name} must begin, and did not")
    first = min(at for at, _, _ in causes)
    ways = [dropped(watch, group, cause) for cause in causes if cause[0] == first]
    nodes = watch.scheduler.nodes
    found = next(
        (way for way in ways if all(nodes[n].state == v.state for n, v in way[0].items())), ways[0]
    )
    states.update(found[1])
    return found[0]


def causes_of(watch, group, verdicts):
    """Return what keeps *group* from beginning: when, for whom, and the verdict on that one."""
    causes, settled = [], (0, 2, 0)
    for stage in group.stages:
        needs = [verdicts[need] for need in stage.spec.needs]
        at, end = moments(watch, stage.spec, needs)
        settled = max(settled, at)
        verdict = held_back(watch, stage.spec, needs)
        if verdict is not None:
            causes.append((verdict.at, stage.spec.name, verdict))
        if end is not NEVER:
            causes.append((end, stage.spec.name, Verdict("cancelled", end)))
    for stage in group.stages:
        name = stage.spec.name
        run, at = watch.decided.get(name, (True, None))
        if not run:
            causes.append((at, name, Verdict("skipped", at, "idle")))
        for _, at in unprepared(watch, stage):
            causes.append((at, name, Verdict("failed", at)))
    return causes


def unprepared(watch, stage):
    """Return what of *stage* ended without an attempt before its pipeline began."""
    if stage.group.begun is not None:
        return []
    name = stage.spec.name
    count = watch.expanded.get(name, (0,))[0]
    names = [name, *(f"{name}.{index}" for index in range(count))]
    return [
        unit.outcomes[0] for name in names
        if (unit := watch.units.get(name)) is not None and 0 in unit.outcomes
    ]  # fmt: skip


def dropped(watch, group, cause):
    """Return the verdicts on members, and the states of instances, when *cause* keeps all back."""
    at, culprit, verdict = cause
    verdicts, states = {}, {}
    for stage in group.stages:
        name, spec = stage.spec.name, stage.spec
        if stage.state is not None:
            verdicts[name] = Verdict(stage.state, stage.at)
            continue
        if name == culprit:
            verdicts[name] = Verdict(verdict.state, at, verdict.kind)
        elif verdict.state == "cancelled":
            verdicts[name] = Verdict("cancelled", at)
        else:
            failure = verdict.state == "failed" or verdict.kind == "skipped for a failure"
            kind = "skipped for a failure" if failure else "good" if spec.skip else "idle"
            verdicts[name] = Verdict("skipped", at, kind)
        for index in range(watch.expanded.get(name, (0,))[0]):
            states[f"{name}.{index}"] = verdicts[name].state
    return verdicts, states
