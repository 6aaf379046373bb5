"""The plan: a job as it will be run, checked, each task with what it takes from ``defaults``."""

from __future__ import annotations

from orchestrator.records import NamedTuple, Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, Literal

    from orchestrator.spec.models import Mode

    Pool = Literal["threads", "processes"]

# An interpreter has a GIL of its own, and uses a processor as a process does.
POOL_OF: dict[str, Pool] = {
    "thread": "threads",
    "interpreter": "processes",
    "process": "processes",
    "subprocess": "processes",
}
# These run inside orch's own process: they have its environment, and nothing can kill them.
INSIDE = frozenset({"thread", "interpreter"})


class RetryPolicy(NamedTuple):
    """How often a task is tried and how long it waits in between, in seconds."""

    attempts: int = 1
    delay_s: float = 1.0
    backoff: float = 2.0
    max_delay_s: float = 60.0
    jitter: bool = True

    def delay_after(self, attempt: int, chance: float) -> float:
        """Return the delay after *attempt* tries; *chance* is from 0 to 1.

        Half of the delay is certain and half by chance, so that tasks that failed together do not
        come back together ("equal jitter", AWS Architecture Blog, 2015).
        """
        exponent = min(attempt - 1, 1000)
        try:
            delay = min(self.delay_s * self.backoff**exponent, self.max_delay_s)
        except OverflowError:
            delay = self.max_delay_s
        return delay * (0.5 + chance / 2) if self.jitter else delay


NO_RETRY = RetryPolicy()
# Keys that may hold templates for the run, and those that must be known before it starts.
LATE_KEYS = ("command", "args", "kwargs", "env", "cwd", "when", "foreach")
EARLY_KEYS = ("python", "allow_failure", "priority", "retry", "timeout", "grace", "replicas")
DEFAULT_MAXSIZE = 1000
DEFAULT_MAX_BYTES = 64 * 2**20


class PlanQueue(Struct):
    """A queue between tasks: bounded in items and in bytes of their lines.

    *publishers* and *consumers* are names of tasks; who goes through it with ``foreach`` consumes.
    A *direct* one is a plain pipe between two programs, and nobody looks at what goes through it.
    *dead_letter* is an absolute path. *bounded*: the file says how much it may hold.
    """

    name: str
    maxsize: int = DEFAULT_MAXSIZE
    max_bytes: int = DEFAULT_MAX_BYTES
    format: Literal["json", "text"] = "json"
    on_consumer_exit: Literal["stop", "drain", "fail"] = "stop"
    delivery: Literal["at_most_once", "at_least_once"] = "at_most_once"
    dead_letter: str | None = None
    publishers: tuple[str, ...] = ()
    consumers: tuple[str, ...] = ()
    direct: bool = False
    bounded: bool = False


class Pipeline(NamedTuple):
    """Tasks that queues join: they start together. *members* stand in the order of flow.

    *threads* and *processes* are the slots that it needs at once: one for a task, one for each
    replica, one for all instances of a ``foreach``, which may follow one another.
    """

    members: tuple[str, ...]
    threads: int
    processes: int


class PlanTask(Struct):
    """A task of the plan.

    ``args kwargs env cwd command when foreach`` are compiled: they hold ``Template`` objects
    where the file has templates that are not filled in yet. *items* are those of a ``foreach``,
    once they are known; *skip* is the reason why a task that the user left out will not run.
    *publish* and *consume* name queues, and *source* the one that its ``foreach`` goes through: an
    instance for each item, as it comes.
    """

    name: str
    order: int
    mode: Mode
    function: str | None = None
    program: str | None = None
    module: str | None = None
    command: Any = None
    shell: bool = False
    args: Any = ()
    kwargs: Any = {}
    env: dict[str, Any] = {}
    cwd: Any = None
    python: Any = None
    output: Literal["stdout", "json"] | None = None
    ok_exit_codes: tuple[int, ...] = (0,)
    leftovers: Literal["kill", "warn", "allow"] = "kill"
    needs: tuple[str, ...] = ()
    run_when: Literal["succeeded", "failed", "always"] = "succeeded"
    when: Any = None
    foreach: Any = None
    items: list[Any] | None = None
    source: str | None = None
    publish: str | None = None
    consume: str | None = None
    replicas: int | None = None
    start: Literal["cold", "warm"] = "cold"
    allow_failure: bool = False
    priority: int = 0
    resources: dict[str, int] = {}
    retry: RetryPolicy = NO_RETRY
    timeout_s: float | None = None
    grace_s: float = 10.0
    skip: str | None = None
    auto: bool = False  # its mode is settled when a run begins
    apart: bool = False  # has keys that no thread can have
    templated: bool = False  # whether any of it held a template in the file

    @property
    def many(self) -> bool:
        """Whether it has instances."""
        return (
            self.foreach is not None
            or self.items is not None
            or self.replicas is not None
            or self.source is not None
        )

    @property
    def count(self) -> int | None:
        """How many instances it has, as far as that is known before it starts."""
        return self.replicas if self.items is None else len(self.items)


class Plan(Struct):
    """A checked job. *root* is absolute; *params* have their values; limits are resolved.

    *preload* are modules that servers of warm programs import. *resources* are named semaphores.
    """

    name: str
    root: str
    tasks: dict[str, PlanTask]
    queues: dict[str, PlanQueue] = {}
    pipelines: list[Pipeline] = []
    file: str | None = None
    description: str | None = None
    params: dict[str, Any] = {}
    threads: int = 8
    processes: int = 1
    timeout_s: float | None = None
    grace_s: float = 10.0
    concurrency: Literal["refuse", "wait", "allow"] = "allow"
    preload: tuple[str, ...] = ()
    resources: dict[str, int] = {}

    def instances(self) -> Iterator[tuple[str, PlanTask]]:
        """Yield every name that a file or an event may bear, as far as it is known."""
        for name, task in self.tasks.items():
            yield name, task
            for index in range(task.count or 0):
                yield f"{name}.{index}", task
