"""What a journal says of its run, as one document: ``run --json``, ``show --json``."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from orchestrator import jsonio
from orchestrator.events import (
    Arrived,
    Cancelled,
    Drained,
    Ended,
    Expanded,
    Finished,
    Measured,
    Postponed,
    Resumed,
    Retrying,
    Skipped,
    Started,
)
from orchestrator.finding import output_files
from orchestrator.journal import Record, headline
from orchestrator.nodes import worst
from orchestrator.places import is_live
from orchestrator.report.bottleneck import bottleneck, share

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from orchestrator.events import (
        Recorded,
        RunState,
        State,
    )

_STATES: dict[str, State] = {"ok": "succeeded", "stopped": "cancelled"}
# Of a cost, what is not added where there are several.
_SHARES = ("cpu_share", "gil_share", "gil_taken_share")
_PEAKS = ("peak_memory_bytes", "gil_longest_s")


@dataclass(slots=True)
class _Line:
    """What is known of a task or an instance."""

    mode: str
    state: State = "waiting"
    attempts: int = 0
    started_at: float | None = None
    waited_s: float = 0.0
    first_at: float | None = None
    ended: Ended | None = None
    before: tuple[float | None, float | None, Ended | None] = (None, None, None)
    reason: str | None = None
    expanded: bool = False
    streams: bool = False  # its instances come one by one, through a queue

    def start(self, event: Started) -> None:
        """Take note of a start, and of what was known before, should it be postponed."""
        self.before = self.started_at, self.first_at, self.ended
        self.state, self.attempts, self.started_at = "running", event.attempt, event.at
        self.waited_s = event.waited_s
        self.first_at = event.at if self.first_at is None else self.first_at
        self.ended = None


@dataclass(slots=True)
class View:
    """A run folded from its journal."""

    folder: Path
    live: bool
    meta: dict[str, Any]
    lines: dict[str, _Line] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    instances: dict[str, int] = field(default_factory=dict)  # as the plan says
    measured: dict[str, Measured] = field(default_factory=dict)
    finished: Finished | None = None
    last_at: float = 0.0

    @classmethod
    def of(cls, folder: Path) -> View:
        """Read the run in *folder*. Raises ``JournalError``."""
        live = is_live(folder)
        record = Record(folder)
        view = cls(folder, live, {**record.meta, "started_at": record.started_at})
        for row in record.tasks:
            view.lines[row.name] = _Line(row.mode)
            if row.instances is not None:
                view.instances[row.name] = max(row.instances, 0)
                view._expand(row.name, max(row.instances, 0))
        for event in record.events():
            view.fold(event)
        return view

    def fold(self, event: Recorded) -> None:
        """Take *event* into account."""
        self.last_at = max(self.last_at, event.at)
        if isinstance(event, Finished):
            self.finished = event
            return
        if isinstance(event, Measured):
            self.measured[event.queue] = event
            return
        if isinstance(event, Resumed):
            self._resume(event)
            return
        line = self.lines.get(getattr(event, "task", ""))
        if line is not None:
            self._fold_into(line, event)

    def _resume(self, event: Resumed) -> None:
        """Let nothing of those that run again count any more, but for their attempts."""
        self.finished = None
        again = set(event.again)
        for queue, joined in self.meta.get("queues", {}).items():
            if not again.isdisjoint(joined["publishers"]):
                self.measured.pop(queue, None)
        for name in event.again:
            line = self.lines.get(name)
            if line is None:
                continue
            task = name.partition(".")[0]
            fresh = self.lines[name] = _Line(line.mode)
            fresh.attempts = line.attempts
            if task == name and name in self.counts:
                for index in range(self.instances.get(name, 0), self.counts[name]):
                    del self.lines[f"{name}.{index}"]
                self.counts[name] = self.instances.get(name, 0)

    def _fold_into(self, line: _Line, event: Recorded) -> None:
        """Take an event of one task, or instance, into account."""
        match event:
            case Expanded() | Arrived() | Drained():
                self._fold_items(line, event)
            case Started():
                line.start(event)
            case Ended():
                if event.attempt or line.ended is None:
                    line.ended = event  # else no more than the end of waiting for another try
                line.state = _STATES.get(event.outcome, "failed")
            case Postponed():
                line.state, line.attempts = "ready", event.attempt - 1
                line.started_at, line.first_at, line.ended = line.before
            case Retrying():
                line.state = "backoff"
            case Skipped(_, reason):
                line.state, line.reason = "skipped", reason
            case Cancelled():
                line.state = "cancelled"

    def _fold_items(self, line: _Line, event: Expanded | Arrived | Drained) -> None:
        """Take note of the instances of a task."""
        match event:
            case Expanded(task, _, count):
                line.expanded = True
                self._expand(task, count)
            case Arrived(task, number):
                line.streams = True
                self.counts[task] = number + 1
                self.lines[f"{task}.{number}"] = _Line(line.mode)
            case Drained():
                line.expanded = line.streams = True

    def _expand(self, task: str, count: int) -> None:
        for index in range(self.counts.get(task, 0), count):
            self.lines[f"{task}.{index}"] = _Line(self.lines[task].mode)
        self.counts[task] = count

    @property
    def state(self) -> RunState:
        """The state of the run."""
        if self.finished is not None:
            return self.finished.state
        return "running" if self.live else "interrupted"

    def document(self) -> dict[str, Any]:
        """Return the run as JSON data; paths are absolute."""
        files = {
            (name, attempt, kind): str(path)
            for name, attempt, kind, path in output_files(self.folder.absolute())
        }
        finished = self.finished
        queues = {name: self._queue(name) for name in self.meta.get("queues", ())}
        tasks = {}
        for name in self.lines:
            if "." not in name:
                many = name in self.counts
                tasks[name] = self._whole(name, files) if many else self._task(name, files)
        return {
            "run": self.folder.name,
            "job": self.meta.get("job"),
            "state": self.state,
            "exit_code": finished.exit_code if finished else None,
            "started_at": self.meta.get("started_at"),
            "duration_s": round(finished.at, 6) if finished else None,
            "tasks": tasks,
            "queues": queues,
            "bottleneck": bottleneck(queues),
        }

    def _queue(self, name: str) -> dict[str, Any]:
        """Return what is known of queue *name*; shares are of the time from its first use."""
        joined = self.meta["queues"][name]
        seen = self.measured.get(name)
        if seen is None:
            nothing = None if joined["direct"] else 0
            seen = Measured(name, 0.0, joined["direct"], *(nothing,) * 8, 0.0, 0, False)
        return {
            "direct": seen.direct,
            "publishers": joined["publishers"],
            "consumers": joined["consumers"],
            "items_in": seen.items_in,
            "items_out": seen.items_out,
            "depth": seen.depth,
            "depth_max": seen.depth_max,
            "publishers_blocked_s": _rounded(seen.publishers_blocked_s),
            "consumers_starved_s": _rounded(seen.consumers_starved_s),
            "full": share(seen.full_s, seen),
            "empty": share(seen.empty_s, seen),
            "dead_letters": seen.dead_letters,
        }

    def _task(self, name: str, files: dict[tuple[str, int, str], str]) -> dict[str, Any]:
        line = self.lines[name]
        ended, state = line.ended, line.state
        outcome = ended.outcome if ended else None
        if state == "running" and not self.live:
            state, outcome = "cancelled", "lost"
        duration_s = None
        if ended is not None and line.started_at is not None:
            duration_s = round(ended.at - line.started_at, 6)
        output = None
        if ended is not None and ended.output is not None:
            output = jsonio.loads(ended.output)
        return {
            "state": state,
            "mode": line.mode,
            "attempts": line.attempts,
            "outcome": outcome,
            "exit_status": ended.exit_status if ended else None,
            "signal": ended.signal if ended else None,
            "duration_s": duration_s,
            "cost": self._cost(name, files),
            "output": output,
            "error": ended.error._asdict() if ended and ended.error else None,
            "stdout": files.get((name, line.attempts, "out")),
            "stderr": files.get((name, line.attempts, "err")),
        }

    def _cost(self, name: str, files: dict[tuple[str, int, str], str]) -> dict[str, Any] | None:
        """Return what the last attempt took: what is known of it; None before its end."""
        line = self.lines[name]
        ended = line.ended
        if ended is None or not ended.attempt or line.started_at is None:
            return None
        cost = {"waited_s": line.waited_s, **(ended.cost._asdict() if ended.cost else {})}
        if ended.cost is not None and ended.cost.cpu_s is not None and ended.cost.wall_s > 0:
            cost["cpu_share"] = ended.cost.cpu_s / ended.cost.wall_s
        if ended.output is not None:
            cost["result_bytes"] = len(ended.output.encode())
        cost["output_bytes"] = sum(
            _size(files.get((name, ended.attempt, kind))) for kind in ("out", "err")
        )
        return {key: _rounded(value) for key, value in cost.items() if value is not None}

    def _whole(self, name: str, files: dict[tuple[str, int, str], str]) -> dict[str, Any]:
        """Return a task with instances: the worst state, attempts added, outputs in a list."""
        line = self.lines[name]
        count = self.counts[name]
        if line.state in ("skipped", "cancelled", "failed") and not line.streams:
            for index in range(count):
                self.lines[f"{name}.{index}"].state = line.state
        instances = {f"{name}.{i}": self._task(f"{name}.{i}", files) for i in range(count)}
        own = self._task(name, files)
        if not instances:
            own["output"] = []
            if own["state"] == "waiting" and line.expanded:
                own["state"] = "succeeded"
            return {**own, "instances": instances}
        states: set[State] = {each["state"] for each in instances.values()}
        if line.streams and not line.expanded:  # the end of its queue was not reached
            states.add("running" if self.live and not self.finished else "cancelled")
        state = worst(states)
        inner = [self.lines[each] for each in instances]
        begun = [each.first_at for each in inner if each.first_at is not None]
        ends = [each.ended.at for each in inner if each.ended is not None]
        errors = [each["error"] for each in (*instances.values(), own) if each["error"]]
        worsts = [each["outcome"] for each in instances.values() if each["state"] == state]
        return {
            "state": state,
            "mode": line.mode,
            "attempts": sum(each["attempts"] for each in instances.values()),
            "outcome": worsts[0] if worsts else None,
            "exit_status": None,
            "signal": None,
            "duration_s": round(max(ends) - min(begun), 6) if begun and ends else None,
            "cost": _together([each["cost"] for each in instances.values() if each["cost"]]),
            "output": [each["output"] for each in instances.values()],
            "error": errors[0] if errors else None,
            "stdout": None,
            "stderr": None,
            "instances": instances,
        }


def _together(costs: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Return what all instances took, of what every one of them can tell.

    Sums; of what is a peak the highest, of what is a share that of all their time.
    """
    if not costs:
        return None
    known = [key for key in costs[0] if all(key in cost for cost in costs)]
    whole = {
        key: (max if key in _PEAKS else sum)(cost[key] for cost in costs)
        for key in known
        if key not in _SHARES
    }
    if wall_s := whole.get("wall_s"):
        for key in _SHARES:
            if key in known:
                whole[key] = sum(cost[key] * cost["wall_s"] for cost in costs) / wall_s
    return {key: _rounded(value) for key, value in whole.items()}


def _size(path: str | None) -> int:
    """Return the size of a file in bytes; 0 where there is none."""
    try:
        return os.stat(path).st_size if path is not None else 0
    except OSError:
        return 0


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


def summary(folder: Path) -> dict[str, Any]:
    """Return the line of a run in ``orch runs``. Raises ``JournalError``."""
    live = is_live(folder)
    meta, finished = headline(folder)
    state: RunState = finished.state if finished else ("running" if live else "interrupted")
    return {
        "run": folder.name,
        "job": meta.get("job"),
        "state": state,
        "exit_code": finished.exit_code if finished else None,
        "started_at": meta.get("started_at"),
        "duration_s": round(finished.at, 6) if finished else None,
    }
