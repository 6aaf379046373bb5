"""What happens in a run, as plain data.

A *recorded* event is a fact that recovery folds again; it is in the journal before anything
outside hears of it. The others (``Fired``, ``Noted`` …) only move the loop. ``at`` is in seconds
since the first act of the run, by the monotonic clock; wall-clock times are for display only.
"""

from __future__ import annotations

from orchestrator.records import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Literal, TypeAlias

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


class Cost(NamedTuple):
    """What an attempt took, as far as it can be told; None for the rest.

    *wall_s* and *cpu_s* are those of the function itself, or of the whole program; of a function
    whose process came to its end before it was called *wall_s* is 0. *startup_s* passed from the
    launch until the function began: waiting for a thread, or the start of a process with its
    Python; *import_s* of it was the import of the function's module. *voluntary_switches* are those
    of an attempt that waited for something, *involuntary_switches* of one that had to let another
    have the processor. *peak_memory_bytes* is that of a process. *gil_share* is how much of its
    time a function held the GIL, while it ran alone, and *gil_longest_s* the longest that was seen;
    *gil_taken_share* how much of it, beside others, one of them held it. Both are samples.
    *arguments_bytes* is the size of what had to be carried to it: the arguments of a function, as
    JSON, or the command line of a program.
    """

    wall_s: float
    cpu_s: float | None = None
    startup_s: float | None = None
    import_s: float | None = None
    voluntary_switches: int | None = None
    involuntary_switches: int | None = None
    peak_memory_bytes: int | None = None
    gil_share: float | None = None
    gil_longest_s: float | None = None
    gil_taken_share: float | None = None
    arguments_bytes: int | None = None


class Started(NamedTuple):
    """Attempt *attempt* of *task* is about to be launched, *waited_s* after it could have been."""

    task: str
    attempt: int
    at: float
    waited_s: float = 0.0


class Ended(NamedTuple):
    """An attempt has its outcome; the first one told for an attempt is the one that counts.

    *attempt* 0 stands for a task that could not be prepared, so that no attempt was made. *output*
    is JSON text. *final*: trying again would change nothing. *left_running*: a thread that
    was given up still runs; ``Returned`` follows when it ends. *unread*: it consumes a queue, and
    ended without having come to the queue's end. *cut*: it wrote to a pipe that nobody read any
    more. *item_failures*: how often the item that it had in hand has failed by now, where that is
    known; 0 for one that was set aside.
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
    unread: bool = False
    cut: bool = False
    item_failures: int | None = None
    cost: Cost | None = None


class Postponed(NamedTuple):
    """The system had no means to start the attempt; it is started again under the same number."""

    task: str
    attempt: int
    reason: str
    at: float


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


class Arrived(NamedTuple):
    """Item *number*, from 0, came for a task that goes through a queue; *item* is JSON text."""

    task: str
    number: int
    item: str
    at: float


class Drained(NamedTuple):
    """The queue that *task* goes through has ended; *items* had come."""

    task: str
    items: int
    at: float


class Measured(NamedTuple):
    """What a queue has seen by now; None for what was not counted, as in a plain pipe.

    *publishers_blocked_s* and *consumers_starved_s* are added over all of them; *full_s* and
    *empty_s* are the time during which at least one waited.
    """

    queue: str
    at: float
    direct: bool
    items_in: int | None
    items_out: int | None
    depth: int | None
    depth_max: int | None
    publishers_blocked_s: float | None
    consumers_starved_s: float | None
    full_s: float | None
    empty_s: float | None
    open_s: float
    dead_letters: int
    over: bool


class Left(NamedTuple):
    """A program closed the pipe with its items while it goes on; not recorded."""

    task: str
    attempt: int
    at: float


class Spoiled(NamedTuple):
    """What a task published cannot be an item, so that it has to end; not recorded."""

    task: str
    attempt: int
    error: Failure
    at: float


class Broken(NamedTuple):
    """A part of orch that works beside the loop has a bug; not recorded: it ends the run."""

    error: Exception
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


class Resumed(NamedTuple):
    """The run goes on, as session *session*, from 2: the first one is that of ``orch run``.

    What had been recorded of the tasks and instances in *again* no longer counts, but for the
    numbers of their attempts. *changed* are tasks that are not what they were.
    """

    session: int
    again: list[str]
    changed: list[str]
    at: float


class Finished(NamedTuple):
    """The run, or this session of it, has ended."""

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


if TYPE_CHECKING:
    Recorded: TypeAlias = (
        Started
        | Ended
        | Postponed
        | Returned
        | Retrying
        | Skipped
        | Cancelled
        | Expanded
        | Arrived
        | Drained
        | Measured
        | StopAsked
        | Resumed
        | Finished
    )
    Event: TypeAlias = Recorded | Left | Spoiled | Broken | Decided | Fired | Noted | Asked


RECORDED: dict[str, type[Any]] = {
    "started": Started,
    "ended": Ended,
    "postponed": Postponed,
    "returned": Returned,
    "retrying": Retrying,
    "skipped": Skipped,
    "cancelled": Cancelled,
    "expanded": Expanded,
    "arrived": Arrived,
    "drained": Drained,
    "measured": Measured,
    "stop_asked": StopAsked,
    "resumed": Resumed,
    "finished": Finished,
}
KINDS: dict[type[Any], str] = {kind: name for name, kind in RECORDED.items()}


class Attempt(NamedTuple):
    """All that a runner needs to start one attempt: JSON-able, so that it may cross a machine.

    Paths are absolute. *argv* and *env* are for programs; *env* of a function in a process of its
    own too. *output_from* says where a program's output is. *consume* and *publish* name queues.
    *start* is ``warm`` where a server may fork it.
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
    leftovers: Literal["kill", "warn", "allow"] = "kill"
    consume: str | None = None
    publish: str | None = None
    start: Literal["cold", "warm"] = "cold"
