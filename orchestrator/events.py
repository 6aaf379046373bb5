"""What happens in a run, as plain data.

A *recorded* event is a fact that recovery folds again; it is in the journal before anything
outside hears of it. The others (``Fired``, ``Noted``) only move the loop. ``at`` is in seconds
since the first act of the run, by the monotonic clock; wall-clock times are for display only.
"""

from typing import Any, Literal, NamedTuple, TypeAlias

Outcome: TypeAlias = Literal["ok", "failed", "timed_out", "stopped", "lost", "launch_failed"]
State: TypeAlias = Literal[
    "waiting", "ready", "running", "backoff", "succeeded", "failed", "skipped", "cancelled"
]
RunState: TypeAlias = Literal["running", "interrupted", "succeeded", "failed", "cancelled"]
StopReason: TypeAlias = Literal["signal", "timeout", "fail_fast"]


class Failure(NamedTuple):
    """Why an attempt failed: an exception's class name, its text, its traceback."""

    type: str
    message: str
    traceback: str | None = None


class Started(NamedTuple):
    """Attempt *attempt* of *task* is about to be launched."""

    task: str
    attempt: int
    at: float


class Ended(NamedTuple):
    """An attempt has its outcome; the first one told for an attempt is the one that counts.

    *attempt* 0 stands for a task that could not be prepared, so that no attempt was made. *output*
    is JSON text. *final*: trying again would change nothing. *left_running*: a thread that
    was given up still runs; ``Returned`` follows when it ends.
    """

    task: str
    attempt: int
    outcome: Outcome
    at: float
    exit_status: int | None = None
    signal: int | None = None
    output: str | None = None
    error: Failure | None = None
    final: bool = False
    left_running: bool = False


class Returned(NamedTuple):
    """The thread of an attempt that had been given up has ended after all."""

    task: str
    attempt: int
    at: float


class Retrying(NamedTuple):
    """*attempt* failed; the next one starts after *delay_s*."""

    task: str
    attempt: int
    delay_s: float
    at: float


class Skipped(NamedTuple):
    """*task* will not run in this run; *failure* where a failure is the reason."""

    task: str
    reason: str
    failure: bool
    at: float


class Cancelled(NamedTuple):
    """*task* had not started, or waited for its next try, when the run was stopped."""

    task: str
    at: float


class Expanded(NamedTuple):
    """The items of a ``foreach`` over an earlier output are known: *items* is JSON text."""

    task: str
    items: str
    instances: int
    at: float


class Decided(NamedTuple):
    """The condition (``when``) of *task* was looked at; not recorded: what follows from it is."""

    task: str
    run: bool
    at: float


class StopAsked(NamedTuple):
    """The run is to end: first with grace, with *force* at once."""

    reason: StopReason
    force: bool
    at: float
    signal: int | None = None


class Finished(NamedTuple):
    """The run has ended."""

    state: RunState
    exit_code: int
    at: float


class Fired(NamedTuple):
    """A timer that the scheduler armed is due; not recorded."""

    timer: tuple[Any, ...]
    at: float


class Noted(NamedTuple):
    """Something for people that a task said: its progress, a line for the log; not recorded."""

    task: str
    attempt: int
    kind: Literal["progress", "log"]
    data: dict[str, Any]
    at: float


class Asked(NamedTuple):
    """A person asks what is running (USR1); not recorded."""

    at: float


Recorded: TypeAlias = (
    Started | Ended | Returned | Retrying | Skipped | Cancelled | Expanded | StopAsked | Finished
)
Event: TypeAlias = Recorded | Decided | Fired | Noted | Asked

RECORDED: dict[str, type[Any]] = {
    "started": Started,
    "ended": Ended,
    "returned": Returned,
    "retrying": Retrying,
    "skipped": Skipped,
    "cancelled": Cancelled,
    "expanded": Expanded,
    "stop_asked": StopAsked,
    "finished": Finished,
}
KINDS: dict[type[Any], str] = {kind: name for name, kind in RECORDED.items()}


class Attempt(NamedTuple):
    """All that a runner needs to start one attempt: JSON-able, so that it may cross a machine.

    Paths are absolute. *argv* and *env* are for programs; *env* of a function in a process of its
    own too. *output_from* says where a program's output is.
    """

    task: str
    number: int
    mode: str
    function: str | None
    args: list[Any]
    kwargs: dict[str, Any]
    argv: list[str]
    env: dict[str, str] | None
    cwd: str | None
    stdout: str
    stderr: str
    output_path: str
    output_from: Literal["file", "stdout", "json"]
    ok_exit_codes: tuple[int, ...]
