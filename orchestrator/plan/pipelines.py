"""Pipelines: tasks that queues join start together, each with its slots, none before another.

``join`` runs when all tasks are built and looks at their shape; ``complete`` runs when templates
are filled in and looks at what may hold some: retries, replicas, limits.
"""

from __future__ import annotations

from itertools import chain, product

from orchestrator.errors import Problem
from orchestrator.plan import graph
from orchestrator.plan.model import POOL_OF, Pipeline
from orchestrator.plan.queues import ends, is_joined
from orchestrator.spec.words import listing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from orchestrator.errors import Where
    from orchestrator.plan.model import Plan, PlanQueue, PlanTask, Pool
    from orchestrator.spec.models import Job

_POOLS: tuple[Pool, ...] = ("threads", "processes")
_NAMED_AT_ONCE = 6


def join(plan: Plan, job: Job) -> list[Problem]:
    """Put the pipelines that the queues of *plan* make into it and return what is wrong with them.

    Their slots are not counted yet.
    """
    if not plan.queues:
        return []
    flow = _flow(plan)
    plan.pipelines = _pipelines(flow, plan)
    return _queue_cycles(flow, plan) + _needs_inside(plan, job)


def _flow(plan: Plan) -> dict[str, list[str]]:
    """Return what each joined task and each queue takes its items from.

    The name of a queue has a slash in front, which no task's has: with queues as nodes the graph is
    linear in their ends.
    """
    flow = {
        name: [f"/{queue}" for queue in (task.consume, task.source) if queue in plan.queues]
        for name, task in plan.tasks.items()
        if is_joined(task)
    }
    flow.update((f"/{name}", list(queue.publishers)) for name, queue in plan.queues.items())
    return flow


def _queue_cycles(flow: Mapping[str, list[str]], plan: Plan) -> list[Problem]:
    problems = []
    for cycle in graph.cycles(flow):
        tasks = [name for name in cycle if not name.startswith("/")]
        message = f"cycle through queues: {' -> '.join([*tasks, tasks[0]])}"
        where = [where for where, name in ends(plan.tasks[tasks[0]]) if f"/{name}" == cycle[-1]]
        problems.append(Problem(where[-1], message))
    return problems


def _pipelines(flow: Mapping[str, list[str]], plan: Plan) -> list[Pipeline]:
    """Return the pipelines, their slots not counted yet, in the order of the file."""
    order, _ = graph.levels(flow)
    depth: dict[str, int] = {}
    for name in order:
        depth[name] = 1 + max((depth[before] for before in flow[name]), default=0)
    seen: set[str] = set()
    found = []
    for first in flow:
        if first.startswith("/") or first in seen:
            continue
        members = sorted(
            _component(first, plan, seen), key=lambda m: (depth.get(m, 0), plan.tasks[m].order)
        )
        found.append(Pipeline(tuple(members), 0, 0))
    return found


def _component(first: str, plan: Plan, seen: set[str]) -> Iterator[str]:
    """Yield *first* and all tasks that queues join with it; *seen* are tasks and ``/queues``."""
    seen.add(first)
    rest = [first]
    while rest:
        task = plan.tasks[rest.pop()]
        yield task.name
        for _, name in ends(task):
            if name in plan.queues and f"/{name}" not in seen:
                seen.add(f"/{name}")
                queue = plan.queues[name]
                new = dict.fromkeys(n for n in (*queue.publishers, *queue.consumers)
                                    if n not in seen)  # fmt: skip
                seen.update(new)
                rest += new


# Pipelines and needs


def _leaders(plan: Plan) -> dict[str, str]:
    """Return for each member of a pipeline the one that stands for it."""
    return {member: line.members[0] for line in plan.pipelines for member in line.members}


def _needs_inside(plan: Plan, job: Job) -> list[Problem]:
    problems = []
    leaders = _leaders(plan)
    for name, leader in leaders.items():
        written = job.tasks[name].needs
        for need in plan.tasks[name].needs:
            if leaders.get(need) != leader:
                continue
            what = f"need `{need}`" if need in written else f"use the output of `{need}`"
            message = f"task `{name}` cannot {what}: queues join them, so they start together"
            start: Where = ("tasks", name)
            where = (*start, "needs", written.index(need)) if need in written else start
            problems.append(Problem(where, message, at_key=need not in written))
    return problems


def _contracted(plan: Plan) -> dict[str, list[str]]:
    """Return the graph of needs in which each pipeline is one node, called as its first member."""
    leaders = _leaders(plan)
    needs: dict[str, dict[str, None]] = {}
    for name, task in plan.tasks.items():
        leader = leaders.get(name, name)
        wanted = (leaders.get(need, need) for need in task.needs)
        needs.setdefault(leader, {}).update((other, None) for other in wanted if other != leader)
    return {leader: list(wanted) for leader, wanted in needs.items()}


def mixed_cycles(plan: Plan, job: Job, told: Collection[str]) -> list[Problem]:
    """Return the cycles that go through needs and through tasks that start together.

    One that meets a task of *told* is left out: that one is in a cycle of needs alone.
    """
    if not plan.pipelines:
        return []
    members = {line.members[0]: line.members for line in plan.pipelines}
    problems, known = [], set(told)
    for cycle in graph.cycles(_contracted(plan)):
        through = _through([members.get(leader, (leader,)) for leader in cycle], plan)
        if known.isdisjoint(chain.from_iterable(through)):
            problems.append(_mixed_cycle(through, job))
    return problems


def _through(nodes: Sequence[Sequence[str]], plan: Plan) -> list[tuple[str, str]]:
    """Return by which task a cycle enters each of its *nodes*, and by which it leaves it.

    A node is the members of a pipeline, or one task; the first is that whose entry stands first in
    the file.
    """
    steps = [
        _step(before, after, plan)
        for before, after in zip(nodes, [*nodes[1:], nodes[0]], strict=True)
    ]
    through = [(steps[index - 1][1], left) for index, (left, _) in enumerate(steps)]
    start = min(range(len(nodes)), key=lambda index: plan.tasks[through[index][0]].order)
    return through[start:] + through[:start]


def _step(before: Sequence[str], after: Sequence[str], plan: Plan) -> tuple[str, str]:
    """Return a task of *before* and the one of *after* that needs it."""
    inside = set(before)
    return next((need, name) for name in after for need in plan.tasks[name].needs if need in inside)


def _mixed_cycle(through: Sequence[tuple[str, str]], job: Job) -> Problem:
    path = [name for entry, left in through for name in dict.fromkeys((entry, left))]
    joints = [f"`{entry}` with `{left}`" for entry, left in through if entry != left]
    written = path[-1] in job.tasks[path[0]].needs
    where: Where = ("tasks", path[0], "needs") if written else ("tasks", path[0])
    return Problem(
        where,
        f"dependency cycle: {' -> '.join([*path, path[0]])}",
        f"queues join {', '.join(joints)}: they start together",
        at_key=not written,
    )


def start_order(plan: Plan) -> list[str]:
    """Return the tasks in an order in which they could start, pipelines whole, in order of flow."""
    members = {line.members[0]: line.members for line in plan.pipelines}
    order, _ = graph.levels(_contracted(plan))
    return [name for leader in order for name in members.get(leader, (leader,))]


def brings(plan: Plan) -> dict[str, list[str]]:
    """Return for each task what a run of it takes along: what it needs, and its pipeline."""
    along = {name: list(task.needs) for name, task in plan.tasks.items()}
    for line in plan.pipelines:
        first, *others = line.members
        along[first] += others
        for name in others:
            along[name].append(first)
    return along


def torn(plan: Plan, skip: Collection[str], out: Collection[str]) -> str | None:
    """Return why the tasks of *skip* cannot be left out; *out* are all that are."""
    for line in plan.pipelines:
        skipped = [name for name in line.members if name in skip]
        staying = [name for name in line.members if name not in out]
        if skipped and staying:
            return (
                f"task `{skipped[0]}` cannot be skipped: queues join it with "
                f"{listing(staying, 'and')}; skip them too"
            )
    return None


# What needs values


def complete(plan: Plan, written: Collection[Pool]) -> list[Problem]:
    """Count the slots of the pipelines of a filled-in *plan*, and see which queues are direct.

    Limits that are not *written* grow to what the largest pipeline needs. Returns what is wrong.
    """
    for queue in plan.queues.values():
        queue.direct = _is_direct(queue, plan)
    plan.pipelines = [_counted(line, plan) for line in plan.pipelines]
    problems = [
        Problem(("tasks", name, "retry"), said)
        for line in plan.pipelines
        for name in line.members
        if (said := _retry(plan.tasks[name], plan.queues)) is not None
    ]
    for line, pool in product(plan.pipelines, _POOLS):
        need, limit = getattr(line, pool), getattr(plan, pool)
        if need <= limit:
            continue
        if pool not in written:
            setattr(plan, pool, need)
            continue
        message = f"`{limit}` is too small: {_called(line)} needs {need} {pool} at once"
        problems.append(Problem(("limits", pool), message))
    return problems + [problem for line in plan.pipelines for problem in _too_much(line, plan)]


def _too_much(line: Pipeline, plan: Plan) -> Iterator[Problem]:
    """Yield a problem for each resource of which the members need more to begin than there is."""
    for resource, amount in plan.resources.items():
        tasks = [plan.tasks[name] for name in line.members]
        need = sum(task.resources.get(resource, 0) * (task.replicas or 1) for task in tasks)
        if need > amount:
            message = f"`{amount}` is too small: {_called(line)} needs {need} at once"
            yield Problem(("resources", resource), message)


def _is_direct(queue: PlanQueue, plan: Plan) -> bool:
    """Tell whether *queue* can be a plain pipe: two programs, and nobody looks at its items."""
    if len(queue.publishers) != 1 or len(queue.consumers) != 1:
        return False
    tasks = [plan.tasks[name] for name in (*queue.publishers, *queue.consumers)]
    return (
        not queue.bounded
        and queue.delivery == "at_most_once"
        and queue.on_consumer_exit == "stop"
        and queue.dead_letter is None
        and all(task.mode == "subprocess" and not task.many for task in tasks)
        and all(task.retry.attempts == 1 for task in tasks)
    )


def _counted(line: Pipeline, plan: Plan) -> Pipeline:
    slots: dict[Pool, int] = dict.fromkeys(_POOLS, 0)
    for name in line.members:
        task = plan.tasks[name]
        slots[POOL_OF[task.mode]] += task.replicas or 1
    return line._replace(threads=slots["threads"], processes=slots["processes"])


def _retry(task: PlanTask, queues: Mapping[str, PlanQueue]) -> str | None:
    """Return why *task* cannot be tried again; None where it can, or is not to be."""
    if task.retry.attempts == 1 or task.source is not None:
        return None
    name = task.consume or task.publish
    if name is None or name not in queues or queues[name].delivery == "at_least_once":
        return None
    if task.consume is not None:
        what = "a second try would miss the items that the first one took"
    else:
        what = "a second try publishes its items again"
    return f"{what}; it needs `delivery: at_least_once` on queue `{name}`"


def _called(line: Pipeline) -> str:
    """Return the name of a pipeline, which is that of its members."""
    names = line.members
    if len(names) > _NAMED_AT_ONCE:
        shown = ", ".join(f"`{name}`" for name in names[:_NAMED_AT_ONCE])
        return f"the pipeline of {shown} and {len(names) - _NAMED_AT_ONCE} more"
    return f"the pipeline of {listing(names, 'and')}"
