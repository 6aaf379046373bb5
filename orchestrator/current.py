"""What a running task knows about itself: ``from orchestrator import task``.

The same names work in every mode and are harmless outside a run. On a thread the task's attempt is
found by a context variable, which the task's own threads inherit; an interpreter is told of its own
(``become``); in a process or a program it is read from the environment. All but threads speak to
orch by a datagram socket, which processes and programs find as ``$ORCH_SOCKET``.
"""

from __future__ import annotations

import os
import sys
import threading
from contextvars import ContextVar

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol

    class Attempt(Protocol):
        """An attempt, as ``task`` sees it."""

        @property
        def name(self) -> str | None:
            """The task's name."""

        @property
        def attempt(self) -> int | None:
            """Which try it is, from 1."""

        @property
        def run_id(self) -> str | None:
            """The run's id."""

        def cancelled(self) -> bool:
            """Tell whether the attempt was asked to stop."""

        def note(self, kind: str, data: dict[str, Any]) -> None:
            """Pass progress, or a line for the log, to orch."""


LEVELS = ("debug", "info", "warning", "error", "critical")
MAX_DATAGRAM_BYTES = 64 * 1024


class TaskCancelled(Exception):
    """Raised by ``task.check()`` once the task was asked to stop."""


class ThreadAttempt:
    """An attempt that runs on a thread of orch's own process."""

    __slots__ = ("attempt", "name", "post", "run_id", "token")

    def __init__(
        self,
        name: str,
        attempt: int,
        run_id: str,
        post: Callable[[str, int, str, dict[str, Any]], None],
    ) -> None:
        self.name = name
        self.attempt = attempt
        self.run_id = run_id
        self.token = False
        self.post = post

    def cancelled(self) -> bool:
        """Tell whether the attempt was asked to stop."""
        return self.token

    def note(self, kind: str, data: dict[str, Any]) -> None:
        """Pass progress, or a line for the log, to the loop."""
        self.post(self.name, self.attempt, kind, data)


class OwnAttempt:
    """An attempt that has a whole process to itself, or a whole interpreter.

    *path* is the socket where orch listens.
    """

    def __init__(
        self, name: str | None, attempt: int | None, run_id: str | None, path: str | None
    ) -> None:
        self.name, self.attempt, self.run_id, self._path = name, attempt, run_id, path
        self._asked = False
        self._listens = False
        self._socket: Any = None

    @classmethod
    def of_environment(cls) -> OwnAttempt:
        """Return the attempt that this process is; outside a run, one without a name."""
        name, number = os.environ.get("ORCH_TASK"), os.environ.get("ORCH_ATTEMPT", "")
        run_id = os.environ.get("ORCH_RUN_ID") if name else None
        attempt = int(number) if number.isdigit() else None
        return cls(name, attempt, run_id, os.environ.get("ORCH_SOCKET"))

    def cancelled(self) -> bool:
        """Tell whether TERM has come, from the first time that this was asked."""
        if not self._listens and self.name is not None:
            self._listens = True
            import signal  # noqa: PLC0415 - few tasks ask

            main = threading.current_thread() is threading.main_thread()
            if main and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
                signal.signal(signal.SIGTERM, self._on_term)
        return self._asked

    def _on_term(self, _number: int, _frame: Any) -> None:
        self._asked = True

    def note(self, kind: str, data: dict[str, Any]) -> None:
        """Send a datagram to orch; without one listening, log lines go to stderr."""
        if self._path and self.name is not None and self._send(self._path, kind, data):
            return
        if kind == "log":
            fields = " ".join(f"{k}={v!r}" for k, v in data.items() if k not in ("level", "event"))
            sys.stderr.write(f"{data['level']}: {data['event']} {fields}".rstrip() + "\n")

    def _send(self, path: str, kind: str, data: dict[str, Any]) -> bool:
        import json  # noqa: PLC0415 - few programs speak
        import socket  # noqa: PLC0415

        message = {"task": self.name, "attempt": self.attempt, "kind": kind, "data": data}
        payload = json.dumps(message, default=repr).encode()[:MAX_DATAGRAM_BYTES]
        try:
            if self._socket is None:
                self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
                self._socket.settimeout(1.0)
                connect(self._socket, path)
            self._socket.send(payload)
        except OSError:
            self._socket = None
            return False
        return True


def connect(sock: Any, path: str) -> None:
    """Connect *sock* to the socket file at *path*, however long the path is.

    The kernel takes 107 bytes; through a descriptor of the folder any path is short.
    """
    if len(os.fsencode(path)) <= 100:  # noqa: PLR2004
        sock.connect(path)
        return
    folder = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        sock.connect(f"/proc/self/fd/{folder}/{os.path.basename(path)}")
    finally:
        os.close(folder)


attempt_of_context: ContextVar[Attempt | None] = ContextVar("orch_attempt", default=None)
_own: OwnAttempt | None = None


def become(attempt: OwnAttempt) -> None:
    """Say that all that runs in this interpreter belongs to *attempt*."""
    global _own  # noqa: PLW0603 - there is one interpreter, and it is one attempt
    _own = attempt


def _current() -> Attempt:
    found = attempt_of_context.get()
    if found is not None:
        return found
    if _own is None:
        become(OwnAttempt.of_environment())
    assert _own is not None
    return _own


class TaskLog:
    """Structured lines in orch's own log, with the task's name: ``log.info("loaded", rows=3)``."""

    __slots__ = ("_bound",)

    def __init__(self, bound: dict[str, Any] | None = None) -> None:
        self._bound = bound or {}

    def bind(self, /, **fields: Any) -> TaskLog:
        """Return a log whose lines all carry *fields*."""
        return TaskLog({**self._bound, **fields})

    def debug(self, event: str, /, **fields: Any) -> None:
        """Log at level debug."""
        self._log("debug", event, fields)

    def info(self, event: str, /, **fields: Any) -> None:
        """Log at level info."""
        self._log("info", event, fields)

    def warning(self, event: str, /, **fields: Any) -> None:
        """Log at level warning."""
        self._log("warning", event, fields)

    def error(self, event: str, /, **fields: Any) -> None:
        """Log at level error."""
        self._log("error", event, fields)

    def _log(self, level: str, event: str, fields: dict[str, Any]) -> None:
        said = {key: _speakable(value) for key, value in {**self._bound, **fields}.items()}
        data = {**said, "level": level, "event": str(event)}
        _current().note("log", data)


def _speakable(value: Any) -> Any:
    """Return *value* if it is JSON data, else its repr: what is said leaves the task."""
    if value is None or isinstance(value, bool | float | str):
        return value
    import json  # noqa: PLC0415 - for what is more than text and numbers

    try:
        json.dumps(value)
    except (TypeError, ValueError, RecursionError):
        try:
            return repr(value)
        except Exception:  # noqa: BLE001 - users' objects, and numbers too long to be shown
            return "<unprintable>"
    return value


class CurrentTask:
    """The task that the calling code belongs to; outside a run, one without a name."""

    __slots__ = ()
    Cancelled = TaskCancelled

    @property
    def name(self) -> str | None:
        """The task's name (``m.0`` for an instance); None outside a run."""
        return _current().name

    @property
    def attempt(self) -> int | None:
        """Which try this is, from 1; None outside a run."""
        return _current().attempt

    @property
    def run_id(self) -> str | None:
        """The run's id; None outside a run."""
        return _current().run_id

    @property
    def log(self) -> TaskLog:
        """Structured lines in orch's own log."""
        return TaskLog()

    @property
    def cancelled(self) -> bool:
        """Whether the task was asked to stop: by its timeout, a signal, ``orch stop``.

        In a process or a program TERM ends it at once until this was asked for the first time (in
        the main thread); from then on TERM is what sets it.
        """
        return _current().cancelled()

    def check(self) -> None:
        """Raise ``TaskCancelled`` if the task was asked to stop."""
        if self.cancelled:
            raise TaskCancelled("the task was asked to stop")

    def progress(self, done: float, total: float | None = None) -> None:
        """Tell people how far the task is: *done* of *total*, in whatever unit."""
        _current().note("progress", {"done": done, "total": total})


task = CurrentTask()
