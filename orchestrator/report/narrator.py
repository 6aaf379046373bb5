"""What happens in a run, as lines of the log and of the event stream."""

from __future__ import annotations

from orchestrator import jsonio
from orchestrator.events import (
    KINDS,
    Arrived,
    Asked,
    Cancelled,
    Ended,
    Expanded,
    Finished,
    Measured,
    Noted,
    Postponed,
    Retrying,
    Returned,
    Skipped,
    Started,
    StopAsked,
)
from orchestrator.logs import LEVELS, to_json
from orchestrator.report import in_words
from orchestrator.report.bottleneck import of_measured
from orchestrator.runners.children import signal_name
from orchestrator.runners.shortage import hint
from orchestrator.running import joined, platform_limits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from orchestrator.events import Cost, Recorded
    from orchestrator.logs import Log
    from orchestrator.running import Past, Run

# A run that is shorter need not be told what held it up.
_WORTH_TELLING_S = 1.0
MAX_TEXT = 2000


_OUR_FIELDS = frozenset({"self", "timestamp", "run", "task", "attempt", "mode", "outcome"})


def _own(data: dict[str, Any]) -> dict[str, Any]:
    """Return what a task said beside the event; what would bear a name of ours gets a `_`."""
    return {
        f"{key}_" if key in _OUR_FIELDS else str(key): value
        for key, value in data.items()
        if key not in ("level", "event")
    }


def _stop_reason(event: StopAsked) -> str:
    if event.signal is not None:
        return signal_name(event.signal)
    return "the grace of what cleans up is over" if event.force else event.reason


def _known(cost: Cost) -> dict[str, Any]:
    """Return what is known of what an attempt took."""
    return {key: round(value, 6) for key, value in cost._asdict().items() if value is not None}


class Narrator:
    """Tells the log what happened."""

    tick_s: float | None = None

    def __init__(self, run: Run, log: Log) -> None:
        self._run, self._log = run, log
        self._nodes = run.scheduler.nodes
        self._queues: dict[str, Measured] = {}
        self._told_of_shortage = False
        self._verbose, self._talks = log.enabled("debug"), log.enabled("info")
        tasks = len(run.plan.tasks)
        if run.past is None:
            log.log("info", "run started", job=run.plan.name, tasks=tasks)
            for name, (mode, reason) in run.loaded.chosen.items():
                log.log("info", "mode chosen", task=name, mode=mode, reason=reason)
        else:
            self._resumed(run.past, tasks)
        if limits := platform_limits():
            log.log("warning", "platform not supported in full", reason=limits)
        log.flush()

    def _resumed(self, past: Past, tasks: int) -> None:
        """Say what is kept of an earlier session, and what runs again though it had succeeded."""
        log, found = self._log.log, past.recovery
        kept = sum(name in self._run.plan.tasks for name in found.kept)
        log("info", "run resumed", job=self._run.plan.name, tasks=tasks, kept=kept)
        for ended in found.lost:
            said = ended.error.message if ended.error is not None else None
            log("warning", "task lost", task=ended.task, attempt=ended.attempt, reason=said)
        if past.changed:
            log("warning", "tasks changed and run again", tasks=" ".join(past.changed))

    def told(self, events: Sequence[Recorded | Noted | Asked]) -> None:
        """Log *events* as one write."""
        for event in events:
            kind = event.__class__
            if kind is Ended:
                self._ended(event)  # type: ignore[arg-type]
            elif kind is Measured:
                self._measured(event)  # type: ignore[arg-type]
            elif kind is not Started and kind is not Arrived:
                self._other(event)
            elif self._verbose and kind is Started:
                self._log.log("debug", "task started", **self._task(event))
        self._log.flush()

    def tick(self) -> None:
        """Nothing to do while nothing happens."""

    def _task(self, event: Any) -> dict[str, Any]:
        mode = self._nodes[event.task].spec.mode
        return {"task": event.task, "attempt": event.attempt, "mode": mode}

    def _ended(self, event: Ended) -> None:
        node = self._nodes[event.task]
        if event.outcome == "ok":
            if self._talks:
                took_s = event.at - node.started_at
                self._log.succeeded(event.task, event.attempt, node.spec.mode, took_s)
            return
        fields: dict[str, Any] = {
            "task": event.task,
            "attempt": event.attempt,
            "mode": node.spec.mode,
            "outcome": event.outcome,
            "duration_s": round(event.at - node.started_at, 6) if event.attempt else 0.0,
        }
        if event.exit_status is not None:
            fields["exit_status"] = event.exit_status
        if event.error is not None:
            fields["error"] = in_words(event.error)[:MAX_TEXT]
        if event.left_running:
            fields["given_up"] = True
        name = "task cancelled" if event.outcome == "stopped" else "task failed"
        # one that is tried again is no error yet
        mild = event.outcome == "stopped" or node.state == "backoff"
        self._log.log("warning" if mild else "error", name, **fields)

    def _other(self, event: Recorded | Noted | Asked) -> None:
        log = self._log.log
        match event:
            case Retrying() | Postponed():
                self._later(event)
            case Skipped():
                self._skipped(event)
            case Cancelled(task):
                log("debug", "task cancelled", task=task)
            case Expanded(task, _, count):
                log("debug", "task expanded", task=task, instances=count)
            case Returned(task, attempt):
                log("warning", "given-up thread ended", task=task, attempt=attempt)
            case StopAsked():
                what = "run is killed" if event.force else "run is stopped"
                log("warning", what, reason=_stop_reason(event))
            case Noted():
                self._noted(event)
            case Asked():
                running = sorted(self._run.scheduler.running)
                log("warning", "running now", count=len(running), running=" ".join(running))
            case Finished():
                self._finished(event)

    def _later(self, event: Retrying | Postponed) -> None:
        """Tell of another try; of those that the system is in the way of only once."""
        if isinstance(event, Retrying):
            fields = {"attempt": event.attempt, "delay_s": round(event.delay_s, 3)}
            self._log.log("warning", "task retries", task=event.task, **fields)
            return
        self._log.log("debug", "task postponed", **self._task(event), reason=event.reason)
        if not self._told_of_shortage:
            self._told_of_shortage = True
            reason = event.reason
            self._log.log("warning", "tasks wait for the system", reason=reason, hint=hint(reason))

    def _skipped(self, event: Skipped) -> None:
        asked = self._nodes[event.task].spec.skip is not None
        level = "warning" if event.failure else "debug" if asked else "info"
        self._log.log(level, "task skipped", task=event.task, reason=event.reason)

    def _noted(self, event: Noted) -> None:
        if event.kind == "log":
            data = event.data
            level = data.get("level")
            known = level if isinstance(level, str) and level in LEVELS else "info"
            said = str(data.get("event", ""))
            self._log.log(known, said, task=event.task, attempt=event.attempt, **_own(data))

    def _measured(self, event: Measured) -> None:
        """Tell of a queue whose tasks have all ended."""
        if not event.over:
            return
        self._queues[event.queue] = event
        fields = {"queue": event.queue, "items_in": event.items_in, "items_out": event.items_out}
        known = {key: value for key, value in fields.items() if value is not None}
        self._log.log("debug", "queue ended", **known)

    def _finished(self, event: Finished) -> None:
        found = of_measured(self._queues, joined(self._run.plan))
        if found is not None and event.at > _WORTH_TELLING_S:
            self._log.log("info", "bottleneck", **found)
        counts = self._run.scheduler.counts
        shown = {state: counts[state] for state in ("succeeded", "failed", "skipped", "cancelled")}
        self._log.log(
            "info" if event.state == "succeeded" else "error",
            f"run {event.state}",
            job=self._run.plan.name,
            duration_s=round(event.at, 6),
            exit_code=event.exit_code,
            **{state: count for state, count in shown.items() if count},
        )


class EventStream:
    """Writes each event as a JSON line (``--events``)."""

    tick_s: float | None = None

    def __init__(self, run: Run, write: Callable[[bytes], None]) -> None:
        self._run, self._write = run, write
        self._modes = {name: task.mode for name, task in run.plan.tasks.items()}
        self.told(run.opening)

    def told(self, events: Sequence[Recorded | Noted | Asked]) -> None:
        """Write *events*, in one piece."""
        lines = [self._line(event) for event in events if not isinstance(event, Asked)]
        if lines:
            self._write("".join(lines).encode("utf-8", "backslashreplace"))

    def tick(self) -> None:
        """Nothing to do while nothing happens."""

    def _line(self, event: Any) -> str:
        fields = event._asdict()
        kind = KINDS.get(event.__class__, "noted")
        fields["at"] = round(fields["at"], 6)
        if "task" in fields:
            task = fields["task"]
            mode = self._modes.get(task) or self._modes.get(task.partition(".")[0])
            fields = {"task": fields.pop("task"), "mode": mode, **fields}
        if isinstance(event, Ended):
            fields["output"] = jsonio.loads(event.output) if event.output is not None else None
            fields["error"] = event.error._asdict() if event.error is not None else None
            fields["cost"] = _known(event.cost) if event.cost is not None else None
        elif isinstance(event, Expanded):
            fields["items"] = jsonio.loads(event.items)
        elif isinstance(event, Arrived):
            fields["item"] = jsonio.loads(event.item)
        return to_json({"event": kind, "run": self._run.id, **fields}) + "\n"
