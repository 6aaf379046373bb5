"""``orch plan FILE``: what would run, in what order."""

from itertools import product
from typing import Annotated, Any

import typer

from orchestrator.cli import given, options
from orchestrator.cli.console import emit, emit_json
from orchestrator.errors import UsageError
from orchestrator.loading import load
from orchestrator.plan import pipelines, templates
from orchestrator.plan.model import Plan, PlanQueue, PlanTask
from orchestrator.records import fields_of
from orchestrator.spec.durations import show
from orchestrator.spec.words import printable


def plan(
    file: options.File,
    params: options.Params = None,
    only: options.Only = None,
    skip: options.Skip = None,
    as_json: options.AsJson = False,
    mermaid: Annotated[bool, typer.Option("--mermaid", help="As a Mermaid graph.")] = False,
    dot: Annotated[bool, typer.Option("--dot", help="As a Graphviz graph.")] = False,
) -> None:
    """Show the expanded plan of FILE: its tasks in an order in which they could start."""
    if as_json + mermaid + dot > 1:
        raise UsageError("--json, --mermaid and --dot exclude each other")
    loaded = load(file, given.choices(params, only, skip), data=given.job_bytes(file), lenient=True)
    found = loaded.plan
    if as_json:
        emit_json(document(found))
    elif mermaid:
        emit(_mermaid(found))
    elif dot:
        emit(_dot(found))
    else:
        emit(_text(found))


def _order(found: Plan) -> list[PlanTask]:
    return [found.tasks[name] for name in pipelines.start_order(found)]


def _mode(task: PlanTask) -> str:
    return "auto" if task.auto else task.mode


def what(task: PlanTask) -> str:
    """Return what a task runs, in a few words."""
    if task.function is not None:
        return task.function
    if task.program is not None:
        return task.program
    if task.module is not None:
        return f"python -m {task.module}"
    if task.shell:
        return f"sh: {str(task.command).strip().partition(chr(10))[0]}"
    return " ".join(_shown(part) for part in task.command or ())


def _shown(value: Any) -> str:
    return value.text if isinstance(value, templates.Template) else str(value)


def _instances(task: PlanTask) -> str:
    if not task.many:
        return ""
    return " x ?" if task.count is None else f" x {task.count}"


def _conditions(task: PlanTask) -> list[str]:
    parts = []
    if task.run_when != "succeeded":
        parts.append(f"run_when: {task.run_when}")
    if task.when is not None:
        parts.append(f"when: {_shown(task.when)}")
    if task.retry.attempts > 1:
        parts.append(f"{task.retry.attempts} tries")
    if task.timeout_s is not None:
        parts.append(f"timeout {show(task.timeout_s)}")
    if task.resources:
        parts.append(f"takes {_amounts(task.resources)}")
    if task.allow_failure:
        parts.append("may fail")
    if task.skip is not None:
        parts.append(task.skip)
    return parts


def _ways(task: PlanTask) -> str:
    """Return what *task* waits for, and the queues that it reads and fills."""
    needs = f"  <- {', '.join(task.needs)}" if task.needs else ""
    source = task.consume or task.source
    reads = f"  <= {source}" if source is not None else ""
    return needs + reads + (f"  => {task.publish}" if task.publish is not None else "")


def _way(queue: PlanQueue) -> str:
    """Return from whom to whom the items of *queue* go, and how many it holds."""
    room = "a plain pipe" if queue.direct else f"at most {queue.maxsize} items"
    parts = []
    if queue.on_consumer_exit != "stop":
        parts.append(f"on_consumer_exit: {queue.on_consumer_exit}")
    if queue.delivery != "at_most_once":
        parts.append(f"delivery: {queue.delivery}")
    if queue.dead_letter is not None:
        parts.append(f"dead_letter: {queue.dead_letter}")
    ends = f"{', '.join(queue.publishers)} => {', '.join(queue.consumers)}"
    return f"{room}  {ends}{''.join(f'  [{part}]' for part in parts)}"


def _text(found: Plan) -> str:
    limits = f"at most {found.threads} threads and {found.processes} processes at once"
    lines = [f"{found.name}: {len(found.tasks)} tasks, {limits}\n", f"root: {found.root}\n\n"]
    if found.resources:
        lines[1:1] = [f"resources: {_amounts(found.resources)}\n"]
    order = _order(found)
    width = max(len(task.name) + len(_instances(task)) for task in order)
    most = max(len(_mode(task)) for task in order)
    for task in order:
        name = f"{task.name}{_instances(task)}"
        extra = "".join(f"  [{part}]" for part in _conditions(task))
        text = printable(f"{what(task)}{_ways(task)}{extra}")
        lines.append(f"  {name:<{width}}  {_mode(task):<{most}}  {text}\n")
    if found.queues:
        lines.append("\nqueues\n")
        width = max(map(len, found.queues))
        lines += [f"  {name:<{width}}  {printable(_way(queue))}\n"
                  for name, queue in found.queues.items()]  # fmt: skip
    return "".join(lines)


def _amounts(resources: dict[str, int]) -> str:
    return ", ".join(f"{name} {amount}" for name, amount in resources.items())


def document(found: Plan) -> dict[str, Any]:
    """Return the plan as JSON data; templates that are not filled in yet stand as text."""
    return {
        "job": found.name,
        "file": found.file,
        "root": found.root,
        "params": found.params,
        "limits": {"threads": found.threads, "processes": found.processes},
        "timeout_s": found.timeout_s,
        "order": [task.name for task in _order(found)],
        "resources": found.resources,
        "queues": {name: _queue_document(queue) for name, queue in found.queues.items()},
        "pipelines": [line._asdict() for line in found.pipelines],
        "tasks": {name: _task_document(task) for name, task in found.tasks.items()},
    }


def _queue_document(queue: PlanQueue) -> dict[str, Any]:
    data = fields_of(queue)
    del data["bounded"]
    del data["name"]
    return data


def _task_document(task: PlanTask) -> dict[str, Any]:
    targets = {
        key: _unfilled(getattr(task, key))
        for key in ("function", "program", "module", "command")
        if getattr(task, key) is not None
    }
    return {
        "mode": _mode(task),
        **targets,
        "args": _unfilled(list(task.args) if isinstance(task.args, tuple) else task.args),
        "kwargs": _unfilled(task.kwargs),
        "start": "warm" if task.mode == "process" else task.start,
        "needs": list(task.needs),
        "run_when": task.run_when,
        "when": _unfilled(task.when),
        "instances": task.count,
        "many": task.many,
        "publish": task.publish,
        "consume": task.consume,
        "source": task.source,
        "replicas": task.replicas,
        "attempts": task.retry.attempts,
        "timeout_s": task.timeout_s,
        "grace_s": task.grace_s,
        "priority": task.priority,
        "resources": task.resources,
        "allow_failure": task.allow_failure,
        "skip": task.skip,
    }


def _unfilled(value: Any) -> Any:
    if isinstance(value, templates.Template):
        return value.text
    if isinstance(value, list):
        return [_unfilled(item) for item in value]
    if isinstance(value, dict):
        return {key: _unfilled(item) for key, item in value.items()}
    return value


_SHAPES = {
    "thread": ("([", "])"),
    "interpreter": ("{{", "}}"),
    "process": ("[", "]"),
    "subprocess": ("[[", "]]"),
}
_DOT_SHAPES = {
    "thread": "ellipse",
    "interpreter": "hexagon",
    "process": "box",
    "subprocess": "component",
}


def _mermaid(found: Plan) -> str:
    lines = ["graph TD\n"]
    # a name may be a word of Mermaid (`end`), so nodes are numbered
    ids = {name: f"t{index}" for index, name in enumerate(found.tasks)}
    for task in found.tasks.values():
        left, right = _SHAPES[task.mode]
        label = f"{task.name}{_instances(task)}<br>{_mode(task)}"
        lines.append(f'  {ids[task.name]}{left}"{label}"{right}\n')
    for task in found.tasks.values():
        arrow = "-->" if task.run_when == "succeeded" else f"-- {task.run_when} -->"
        lines += [f"  {ids[need]} {arrow} {ids[task.name]}\n" for need in task.needs]
    for queue in found.queues.values():
        ends = product(queue.publishers, queue.consumers)
        lines += [f'  {ids[a]} -.->|"{queue.name}"| {ids[b]}\n' for a, b in ends]
    return "".join(lines)


def _dot(found: Plan) -> str:
    lines = [f'digraph "{found.name}" {{\n']
    for task in found.tasks.values():
        label = f"{task.name}{_instances(task)}\\n{_mode(task)}"
        lines.append(f'  "{task.name}" [shape={_DOT_SHAPES[task.mode]}, label="{label}"];\n')
    for task in found.tasks.values():
        style = "" if task.run_when == "succeeded" else f' [label="{task.run_when}"]'
        lines += [f'  "{need}" -> "{task.name}"{style};\n' for need in task.needs]
    for queue in found.queues.values():
        ends = product(queue.publishers, queue.consumers)
        style = f' [label="{queue.name}", style=dashed]'
        lines += [f'  "{a}" -> "{b}"{style};\n' for a, b in ends]
    return "".join([*lines, "}\n"])
