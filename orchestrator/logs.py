"""The log: structlog, one line an event, for people on a terminal or for programs.

Lines are collected during a turn of the loop and written at once. A sink that breaks (``orch run …
| head``, a full disk) is dropped and said so once on another; tasks never notice.
"""

from __future__ import annotations

import os
import time

from orchestrator.spec.durations import show
from orchestrator.spec.words import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping
    from typing import Any, Literal

    Format = Literal["console", "keyvalue", "json"]
    Fields = MutableMapping[str, Any]

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
_EVERY_RUN = frozenset({"run started", "run succeeded"})  # written as by structlog, without it
_RESET, _DIM = "\x1b[0m", "\x1b[2m"
_COLOURS = {"debug": _DIM, "info": "", "warning": "\x1b[33m", "error": "\x1b[31m"}
_MARKS = {
    "task succeeded": ("✓", "\x1b[32m"), "task failed": ("✗", "\x1b[31m"),
    "task skipped": ("-", _DIM), "task cancelled": ("-", _DIM),
    "task started": ("▸", "\x1b[36m"), "task retries": ("↻", "\x1b[33m"),
}  # fmt: skip
_HIDDEN = frozenset({"timestamp", "level", "event", "run", "task", "attempt", "mode", "outcome",
                     "duration_s", "job"})  # fmt: skip


class Sink:
    """Somewhere that bytes go, until that breaks."""

    def __init__(self, name: str, write: Callable[[bytes], None]) -> None:
        self.name = name
        self._write = write
        self.broken: str | None = None

    def write(self, data: bytes) -> None:
        """Write *data*; after an error nothing is written any more, and *broken* says why."""
        if self.broken is None and data:
            try:
                self._write(data)
            except OSError as error:
                self.broken = (error.strerror or str(error)).lower()


def descriptor_sink(name: str, descriptor: int) -> Sink:
    """Return a sink that writes to an open *descriptor*."""

    def write(data: bytes) -> None:
        while data:
            data = data[os.write(descriptor, data) :]

    return Sink(name, write)


class Log:
    """Structured lines to one or more sinks, each in its own format."""

    def __init__(
        self, run: str, level: str = "info", mask: Callable[[Fields], Fields] | None = None
    ) -> None:
        """*mask* takes out of the fields of a line what nobody may read."""
        self._run = run
        self._mask = mask
        self._outlets: list[tuple[Sink, Format, Callable[[Fields], str], list[str]]] = []
        self._level = LEVELS[level]
        self._told_broken: set[str] = set()
        self._logger: Any = None

    def add(self, sink: Sink, form: Format, *, colour: bool = False) -> None:
        """Send every line to *sink* too, in format *form*."""
        self._outlets.append((sink, form, renderer(form, colour=colour), []))

    def log(self, level: str, event: str, /, **fields: Any) -> None:
        """Log *event*; it is written by the next ``flush``."""
        if self._logger is None:
            if LEVELS[level] < self._level:
                return
            if event not in _EVERY_RUN:
                self._logger = self._through_structlog()
            if self._logger is None:
                self._add(level, {"run": self._run, **fields, "event": event})
                return
        if level == "info":
            self._logger.info(event, **fields)
        else:
            self._logger.log(LEVELS[level], event, **fields)

    def _through_structlog(self) -> Any:
        """Return the logger, whose import costs more than a small run; None where it failed."""
        try:
            import structlog  # noqa: PLC0415 - only where there is more to say than of every run
        except (OSError, ImportError):  # no descriptor is left; what there is to say may be that
            return None

        def render(_logger: Any, method: str, fields: Fields) -> str:
            self._add(method, fields)
            raise structlog.DropEvent

        return structlog.wrap_logger(
            None,
            processors=[render],
            wrapper_class=structlog.make_filtering_bound_logger(self._level),
            context_class=dict,
            run=self._run,
        ).bind()

    def succeeded(self, task: str, attempt: int, mode: str, duration_s: float) -> None:
        """Log that an attempt succeeded.

        The same line as by ``log``, made by hand: there is one for each task, and through structlog
        it costs as much as running a small one. Nothing in it needs an escape.
        """
        stamp, took = _now_text(), round(duration_s, 6)
        for _, form, render, lines in self._outlets:
            if form == "json":
                lines.append(
                    f'{{"timestamp":"{stamp}","level":"info","event":"task succeeded",'
                    f'"run":"{self._run}","task":"{task}","attempt":{attempt},"mode":"{mode}",'
                    f'"outcome":"ok","duration_s":{took}}}'
                )
            elif form == "keyvalue":
                lines.append(
                    f'timestamp={stamp} level=info event="task succeeded" run={self._run} '
                    f"task={task} attempt={attempt} mode={mode} outcome=ok duration_s={took}"
                )
            else:
                fields = {"task": task, "attempt": attempt, "mode": mode, "duration_s": took}
                line = {"timestamp": stamp, "level": "info", "event": "task succeeded", **fields}
                lines.append(render(line))

    def enabled(self, level: str) -> bool:
        """Tell whether lines of *level* are wanted."""
        return LEVELS[level] >= self._level and bool(self._outlets)

    def _add(self, level: str, fields: Fields) -> None:
        if self._mask is not None:
            fields = self._mask(fields)
        event = fields.pop("event")
        line = {"timestamp": _now_text(), "level": level, "event": event, **fields}
        for _, _, render, lines in self._outlets:
            lines.append(render(line))

    def flush(self) -> None:
        """Write what was logged since the last time."""
        for sink, _, _, lines in self._outlets:
            if lines:
                lines.append("")
                data = "\n".join(lines).encode("utf-8", "backslashreplace")
                lines.clear()
                sink.write(data)
        broken = [s for s, *_ in self._outlets if s.broken and s.name not in self._told_broken]
        for sink in broken:
            self._told_broken.add(sink.name)
            self.log("error", "log dropped", sink=sink.name, reason=sink.broken)
        if broken:
            self.flush()


_second = (0, "")


def _now_text() -> str:
    """Return the time in UTC as ISO 8601, to the millisecond."""
    global _second  # noqa: PLW0603 - a line a task: the text is made once a second
    now = time.time()
    whole = int(now)
    if whole != _second[0]:
        _second = (whole, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)))
    return f"{_second[1]}.{int((now - whole) * 1000):03d}Z"


def repr_of(value: Any) -> str:
    """Return the repr of *value*, or that it has none."""
    try:
        return value if isinstance(value, str) else repr(value)
    except Exception:  # noqa: BLE001 - users' objects, and numbers too long to be shown
        return "<unprintable>"


def to_json(fields: Fields) -> str:
    """Return *fields* as a line of JSON; what has no JSON stands in it as its repr."""
    import json  # noqa: PLC0415 - where lines are JSON only

    import orjson  # noqa: PLC0415

    try:
        return orjson.dumps(fields, default=repr_of).decode()
    except (TypeError, ValueError):  # huge integers, lone surrogates, keys that are not text
        plain = {str(key): value for key, value in fields.items()}
        try:
            return json.dumps(plain, default=repr_of)
        except ValueError:  # a number of more digits than Python turns into text
            return json.dumps({key: repr_of(value) for key, value in plain.items()})


def renderer(form: Format, *, colour: bool = False) -> Callable[[Fields], str]:
    """Return what turns the fields of a line into text."""
    if form == "json":
        return to_json
    if form == "keyvalue":
        return key_values
    return lambda fields: console_line(fields, colour=colour)


def key_values(fields: Fields) -> str:
    """Return *fields* as logfmt, without control characters."""
    return " ".join(f"{key}={_value(value)}" for key, value in fields.items() if value is not None)


def _value(value: Any) -> str:
    if not isinstance(value, str):
        structured = isinstance(value, list | dict | bool)
        value = to_json({"": value})[4:-1] if structured else repr_of(value)
    if value.isalnum():
        return str(value)
    text = printable(value)
    if not text or " " in text or "=" in text or '"' in text:
        escaped = text.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return text


def console_line(fields: Fields, *, colour: bool) -> str:
    """Return a line for people: time, mark, task, what happened, how long it took."""
    event, level, task = fields["event"], fields["level"], fields.get("task")
    from datetime import datetime  # noqa: PLC0415 - on a terminal

    clock = datetime.fromisoformat(fields["timestamp"]).astimezone().strftime("%H:%M:%S")
    mark, paint = _MARKS.get(event, ("·", _COLOURS.get(level, "")))
    extra = _extra(fields)
    if event in _MARKS and task is not None:
        what = f"{task:<20}"
        verb = event.removeprefix("task ")
        if event == "task succeeded":
            verb = ""
        said = " ".join(part for part in (verb, extra) if part)
    else:
        what = f"{task:<20} {event}" if task is not None else str(event)
        said = extra
    took = show(fields["duration_s"]) if "duration_s" in fields else ""
    took = f" {took:>9}" if task is not None else f" in {took}" if took else ""
    what, said = printable(what), printable(said)
    if not colour:
        return f"{clock} {mark} {what}{took}  {said}".rstrip()
    return f"{_DIM}{clock}{_RESET} {paint}{mark}{_RESET} {what}{took}  {paint}{said}{_RESET}"


def _extra(fields: Fields) -> str:
    parts = []
    for key, value in fields.items():
        if key in _HIDDEN or value is None or (key == "exit_status" and "error" in fields):
            continue
        parts.append(str(value) if key in ("error", "reason") else f"{key}={value}")
    return "  ".join(parts)
