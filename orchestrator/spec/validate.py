"""A document becomes a job, or everything that is wrong with its keys and values.

What pydantic says is turned into our words and tied to its place; then what is wrong is taken out,
so that the rest of the file can be checked further and all its mistakes are told at once.
"""

from __future__ import annotations

from pydantic import ValidationError

from orchestrator.errors import Problem
from orchestrator.spec.models import (
    NAME,
    TARGETS,
    Job,
    Limits,
    Param,
    Queue,
    Retry,
    Task,
    TaskKeys,
)
from orchestrator.spec.words import did_you_mean, found, listing, nearest, quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from typing import Any

    from orchestrator.errors import Where
    from orchestrator.spec.source import Source

# Where one of these is wrong, whatever else could be said of the task may be wrong too.
_DECISIVE = (
    "mode", "shell", *TARGETS, "args", "kwargs", "foreach", "publish", "consume", "<<",
    "run", "script", "cmd", "type", "callable",
)  # fmt: skip
# What people write first, coming from other tools.
_OTHER_WORDS = {
    "run": "write `command: |` with `shell: true`, or `command: [program, argument]`",
    "script": "write `command: |` with `shell: true`, or `program: file.py`",
    "cmd": "the key is `command`",
    "depends_on": "the key is `needs`",
    "depends": "the key is `needs`",
    "dependencies": "the key is `needs`",
    "steps": "the key is `tasks`, a mapping of names to tasks",
    "jobs": "the key is `tasks`, a mapping of names to tasks",
    "parameters": "the key is `params`",
    "environment": "the key is `env`",
    "working_directory": "the key is `cwd`",
    "dir": "the key is `cwd`",
    "retries": "the key is `retry`",
    "if": "the key is `when`",
    "matrix": "the key is `foreach`",
    "workers": "the key is `replicas`",
    "type": "the key is `mode`",
    "callable": "the key is `function`",
}


def validated(source: Source) -> tuple[Job | None, list[str], list[Problem]]:
    """Return the job, the names of tasks that are left out of it as wrong, and the problems."""
    problems = list(source.problems)
    value = source.value
    if value is None and problems:
        return None, [], problems
    if not isinstance(value, dict):
        message = f"the file holds {found(value)}, expected a mapping with `tasks`"
        return None, [], [*problems, Problem((), message)]
    places = [(where, True) for where in source.poisoned]
    try:
        job = Job.model_validate(value)
        if not places:
            return job, [], problems
    except ValidationError as error:
        for item in error.errors(include_url=False):
            where, at_key = _place(value, item["loc"])
            places.append((where, at_key))
            if not any(where[: len(bad)] == bad for bad in source.poisoned):
                problems.append(_problem(value, where, at_key, item))
    problems = _without_consequences(problems)
    wrong = [where for where, _ in places]
    if ("params",) in wrong or ("queues",) in wrong:
        return None, [], problems  # every use of a parameter or a queue would be told as wrong
    rest, broken = _without(value, wrong)
    try:
        return Job.model_validate(rest), broken, problems
    except ValidationError:
        return None, [], problems


def _without_consequences(problems: list[Problem]) -> list[Problem]:
    """Return *problems* without "no `tasks`" where a key like it is told as unknown."""
    meant = any(
        len(problem.where) == 1
        and ("`tasks`" in problem.message or "`tasks`" in (problem.hint or ""))
        for problem in problems
    )
    return [problem for problem in problems if problem.where or not meant]


def _place(value: Any, loc: tuple[int | str, ...]) -> tuple[Where, bool]:
    """Return the path in the file that pydantic's *loc* means, and whether the key is meant.

    pydantic puts names of union members and ``[key]`` in between.
    """
    where: list[int | str] = []
    for position, part in enumerate(loc):
        last = position == len(loc) - 1
        if part == "[key]":
            return tuple(where), True
        if isinstance(value, dict) and (part in value or last):
            if part not in value:
                return (*where, part), True
            value = value[part]
            where.append(part)
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            value = value[part]
            where.append(part)
    return tuple(where), False


def _problem(value: Any, where: Where, at_key: bool, item: Any) -> Problem:
    kind = item["type"]
    if kind == "extra_forbidden":
        return _unknown_key(where)
    if kind == "missing":
        what = "no `tasks`; expected a mapping of tasks" if where == ("tasks",) else (
            f"no `{where[-1]}`"
        )  # fmt: skip
        return Problem(where[:-1], what, at_key=True)
    if kind == "too_short":
        what = "`tasks` is empty; expected at least one task" if where == ("tasks",) else (
            "the list is empty"
        )  # fmt: skip
        return Problem(where, what)
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        return Problem(where, f"found {found(_at(value, where))}, expected a mapping")
    if kind == "greater_than_equal":
        least = item["ctx"]["ge"]
        here = _at(value, where)
        return Problem(where, f"{quote(here)} is too small, expected at least {least:g}")
    if kind == "orch":
        return Problem(where, item["msg"], at_key=at_key)
    return Problem(where, f"found {found(_at(value, where))}: {item['msg'].lower()}", at_key=at_key)


def _at(value: Any, where: Where) -> Any:
    for part in where:
        try:
            value = value[part]
        except (LookupError, TypeError):
            return None
    return value


def _unknown_key(where: Where) -> Problem:
    model, key = _model(where), str(where[-1])
    hint = _OTHER_WORDS.get(key)
    known = [name for name in model.model_fields if name != hint]
    elsewhere = key in Job.model_fields or key in Task.model_fields
    near = "" if hint or elsewhere else did_you_mean(key, known)
    message = f"unknown key{near}"
    if not near and not hint:
        if model is TaskKeys and key in Task.model_fields:
            message = "cannot stand in `defaults`; it belongs to a task"
        elif model is Job and key in Task.model_fields:
            hint = "this key belongs to a task"
            if key in TaskKeys.model_fields:
                hint += ", or into `defaults`"
        elif model in (Task, TaskKeys) and key in Job.model_fields:
            hint = "this key belongs to the job"
        elif model in (Param, Limits, Queue, Retry):
            message += f"; expected {listing(list(model.model_fields))}"
    return Problem(where, message, hint, at_key=True)


def _model(where: Where) -> Any:
    """Return the model that the key at *where* stands in."""
    models: dict[str, Any] = {
        "params": Param,
        "limits": Limits,
        "queues": Queue,
        "defaults": TaskKeys,
        "tasks": Task,
    }
    if len(where) == 1:
        return Job
    deeper = {"defaults": where[1:-1], "tasks": where[2:-1]}.get(str(where[0]), ())
    return Retry if "retry" in deeper else models.get(str(where[0]), Job)


def _without(value: dict[str, Any], places: list[Where]) -> tuple[dict[str, Any], list[str]]:
    """Return *value* without what is wrong in it, and the names of the tasks that are left out.

    A task is left out where what it runs, or how, is wrong; otherwise only its wrong keys are, so
    that the rest of it is looked at too.
    """
    rest = {key: dict(part) if isinstance(part, dict) else part for key, part in value.items()}
    broken: dict[str, None] = {}
    for where in places:
        top = str(where[0]) if where else ""
        part = rest.get(top)
        if len(where) == 1 or not isinstance(part, dict):
            rest.pop(top, None)
            continue
        name = str(where[1])
        inner = part.get(name)
        whole = len(where) == 2  # noqa: PLR2004 - PART.NAME itself
        if top not in ("tasks", "params", "queues") or whole:
            part.pop(name, None)
        elif isinstance(inner, dict):
            part[name] = {key: item for key, item in inner.items() if key != where[2]}
        if top == "tasks" and (whole or _is_decisive(where[2])):
            broken[name] = None
        elif top == "params" and whole:
            part[name] = {}
        elif top == "queues" and NAME.match(name):
            _permit(part, name, "delivery" if whole else where[2])
    tasks = rest.get("tasks")
    left = {n: t for n, t in tasks.items() if n not in broken} if isinstance(tasks, dict) else {}
    rest["tasks"] = left or {"_": {"mode": "thread", "function": "builtins:print"}}
    return rest, list(broken)


def _permit(queues: dict[str, Any], name: str, key: int | str) -> None:
    """Let tasks do with queue *name*, whose *key* is wrong, what its delivery may have allowed."""
    queue = queues.get(name)
    if not isinstance(queue, dict):
        queue = queues[name] = {}
    if key == "delivery" or key not in Queue.model_fields:
        queue.setdefault("delivery", "at_least_once")


def _is_decisive(key: int | str) -> bool:
    if key in _DECISIVE:
        return True
    unknown = key not in Task.model_fields
    return unknown and nearest(str(key), ("publish", "consume")) is not None


def in_doubt(source: Source, broken: Collection[str], problems: Iterable[Problem]) -> set[str]:
    """Return every word of the parts of a file that are wrong: keys and texts.

    A queue that is named there is not known to be filled or read by nobody, nor to be unknown.
    """
    words: set[str] = set()
    wheres = [() if problem.where == ("tasks",) else problem.where for problem in problems]
    parts = [_at(source.value, where) for where in wheres]
    parts += [_at(source.value, ("tasks", name)) for name in broken]
    while parts:
        part = parts.pop()
        if isinstance(part, str):
            words.add(part)
        elif isinstance(part, list):
            parts += part
        elif isinstance(part, dict):
            words.update(part)
            parts += part.values()
    return words
