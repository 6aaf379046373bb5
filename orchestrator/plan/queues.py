"""Queues of a plan: which tasks fill and read them, and which keys go together because of them."""

from __future__ import annotations

from orchestrator.errors import Problem
from orchestrator.plan.model import PlanQueue
from orchestrator.spec.words import did_you_mean, nearest, quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from typing import Any

    from orchestrator.errors import Where
    from orchestrator.plan.model import Plan, PlanTask
    from orchestrator.spec.models import Job, Queue, Task

_ALONE = frozenset({"replicas"})


def source_of(foreach: Any) -> str | None:
    """Return the queue that *foreach* goes through; None where it has items of its own."""
    if isinstance(foreach, dict) and list(foreach) == ["queue"]:
        name = foreach["queue"]
        return name if isinstance(name, str) and "{{" not in name else None
    return None


def out_of_reach(task: Task) -> Collection[str]:
    """Return the keys that *task* does not take from ``defaults``, because of queues."""
    if task.publish is None and task.consume is None and task.foreach is None:
        return _ALONE
    keys = set()
    joined = task.publish is not None or task.consume is not None
    if joined or source_of(task.foreach) is not None:
        keys.add("retry")
    if task.publish is not None:
        keys.add("output")  # stdout is where the items go
    if not joined or task.foreach is not None:
        keys.add("replicas")
    return keys


def join(plan: Plan, job: Job, doubtful: Collection[str]) -> list[Problem]:
    """Put the queues of *job* into *plan*, with their ends, and return what is wrong with them.

    *doubtful* are words of wrong parts of the file: of queues of these names it is not known
    whether they are there, or who fills and reads them.
    """
    problems = _twins(job)
    for name, spec in job.queues.items():
        plan.queues[name] = PlanQueue(
            name,
            format=spec.format,
            on_consumer_exit=spec.on_consumer_exit,
            delivery=spec.delivery,
            dead_letter=spec.dead_letter,
            bounded=not spec.model_fields_set.isdisjoint(("maxsize", "max_bytes")),
        )
    publishers: dict[str, list[str]] = {name: [] for name in plan.queues}
    consumers: dict[str, list[str]] = {name: [] for name in plan.queues}
    doubts = set(doubtful)
    for task in plan.tasks.values():
        if task.replicas is None and not is_joined(task):
            continue
        problems += _pairings(task, job.tasks[task.name])
        for where, name in ends(task):
            if name in plan.queues:
                side = publishers if where[2] == "publish" else consumers
                side[name].append(task.name)
            elif name not in doubts:
                problems.append(_unknown(where, name, plan.queues))
                doubts.add(nearest(name, plan.queues) or "")
    for name, queue in plan.queues.items():
        queue.publishers, queue.consumers = tuple(publishers[name]), tuple(consumers[name])
        if name not in doubts:
            problems += _unused(queue)
        problems += _dead_letter(queue, job.queues[name], plan)
    return problems


def is_joined(task: PlanTask) -> bool:
    """Tell whether *task* names a queue."""
    return not (task.publish is None and task.consume is None and task.source is None)


def ends(task: PlanTask) -> Iterator[tuple[Where, str]]:
    """Yield the queues that *task* names, each with its place; what it publishes to first."""
    start = ("tasks", task.name)
    if task.publish is not None:
        yield (*start, "publish"), task.publish
    if task.consume is not None:
        yield (*start, "consume"), task.consume
    if task.source is not None:
        yield (*start, "foreach", "queue"), task.source


def _twins(job: Job) -> list[Problem]:
    problems = []
    spellings: dict[str, str] = {}
    for name in job.queues:
        twin = spellings.setdefault(name.casefold(), name)
        if twin != name:
            message = f"`{name}` and `{twin}` differ only in case"
            problems.append(Problem(("queues", name), message, at_key=True))
    return problems


def _pairings(task: PlanTask, spec: Task) -> list[Problem]:
    """Return which keys of a task do not go together because of queues."""
    wrong: dict[str, str] = {}
    if task.consume is not None and task.source is not None:
        wrong["consume"] = "`consume` and `foreach: {queue}` stand together; expected one of them"
    if spec.replicas is not None and spec.foreach is not None:
        wrong["replicas"] = "`replicas` and `foreach` stand together; expected one of them"
    elif spec.replicas is not None and not is_joined(task):
        wrong["replicas"] = "`replicas` needs `publish` or `consume`"
    if task.publish is not None and spec.output is not None and task.mode == "subprocess":
        wrong["output"] = "stdout is for the items that it publishes; leave `output` out"
    start = ("tasks", task.name)
    return [Problem((*start, key), said, at_key=True) for key, said in wrong.items()]


def _unknown(where: Where, name: str, queues: Collection[str]) -> Problem:
    near = did_you_mean(name, queues)
    hint = None if near else f"queues are declared in the job: `queues: {{{name}: {{}}}}`"
    return Problem(where, f"unknown queue {quote(name)}{near}", hint)


def _unused(queue: PlanQueue) -> list[Problem]:
    name = queue.name
    if queue.publishers and queue.consumers:
        return []
    if queue.consumers:
        said = f"nobody fills `{name}`: no task has `publish: {name}`"
    elif queue.publishers:
        said = f"nobody reads `{name}`: no task has `consume: {name}`"
    else:
        said = f"nobody fills or reads `{name}`"
    return [Problem(("queues", name), said, at_key=True)]


def _dead_letter(queue: PlanQueue, spec: Queue, plan: Plan) -> list[Problem]:
    whole = [name for name in queue.consumers if plan.tasks[name].source is None]
    if spec.dead_letter is None or spec.delivery == "at_least_once" or not whole:
        return []
    instead = f"`foreach: {{queue: {queue.name}}}` on `{whole[0]}`"
    message = f"`dead_letter` needs `delivery: at_least_once`, or {instead}"
    return [Problem(("queues", queue.name, "dead_letter"), message, at_key=True)]
