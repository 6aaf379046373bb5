"""From a job file to a plan that can run, or to everything that is wrong with it at once."""

import gc
import os
import platform
import re
import sys
import sysconfig
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from orchestrator.checks import Checker
from orchestrator.errors import Problem, Report, SpecError, TemplateError, UsageError, Where
from orchestrator.plan import build as building
from orchestrator.plan import params as parameters
from orchestrator.plan import templates
from orchestrator.plan.fill import fill
from orchestrator.plan.model import Plan
from orchestrator.spec.models import NAME, TARGETS, Job, Limits, Param, Retry, Task, TaskKeys
from orchestrator.spec.source import Source, read_bytes
from orchestrator.spec.words import did_you_mean, found, listing, quote

STDIN = "-"
_MANY_THREADS = 4
_LEAST_THREADS = 8
# Where one of these is wrong, whatever else could be said of the task may be wrong too.
_DECISIVE = (
    "mode", "shell", *TARGETS, "args", "kwargs", "foreach", "<<",
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
    "type": "the key is `mode`",
    "callable": "the key is `function`",
}


@dataclass
class Choices:
    """What a person asked for beside the file.

    *params* are values from ``-p``; text among them is read as the parameter's type. Values of type
    path start at *called_from*.
    """

    params: Mapping[str, Any] = field(default_factory=dict)
    only: Collection[str] = ()
    skip: Collection[str] = ()
    called_from: str = ""


@dataclass
class Loaded:
    """A job file that was read, with its plan.

    *environment* is what tasks inherit: this process's, ``env_file``, ``env``. *names* are for
    templates. *problems* are errors; with none of them the plan can run.
    """

    source: Source
    file: str | None
    job: Job
    plan: Plan
    environment: dict[str, str | None] = field(default_factory=dict)
    names: dict[str, Any] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    missing: tuple[str, ...] = ()

    def reports(self) -> list[Report]:
        """Return the problems, each with its place, in the order of lines."""
        return self.source.report(self.problems)


def read(file: str, data: bytes | None = None) -> Source:
    """Read *file* (``-``: *data* is what came on stdin). Raises ``SpecError``."""
    if data is None:
        try:
            data = read_bytes(Path(file))
        except ValueError as error:
            raise SpecError(f"{file}: {error}") from None
    return Source("<stdin>" if file == STDIN else file, data)


def load(
    file: str, choices: Choices | None = None, *, data: bytes | None = None, lenient: bool = False
) -> Loaded:
    """Read and check a job file.

    Raises ``SpecError`` with everything that is wrong; ``UsageError`` where the file is right and
    *choices* are not. With *lenient* required parameters may be missing: for looking at a file.
    """
    with collector_off():  # nothing that is made here is garbage, and there may be a lot of it
        return _load(file, choices or Choices(), data, lenient=lenient)


@contextmanager
def collector_off() -> Iterator[None]:
    """Keep the cyclic garbage collector from looking at what is being built."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _load(file: str, choices: Choices, data: bytes | None, *, lenient: bool) -> Loaded:
    source = read(file, data)
    job, broken, problems = _validated(source)
    if job is None:
        raise spec_error(source, problems)
    stem = Path(file).stem if file != STDIN else "stdin"
    folder = Path(file).absolute().parent if file != STDIN else Path.cwd()
    root = os.path.normpath(folder / os.path.expanduser(job.root or "."))
    name = stem if NAME.match(stem) else re.sub(r"\W", "_", f"_{stem}")[:64]
    plan, more = building.build(job, root, name, broken)
    plan.file = str(Path(file).absolute()) if file != STDIN else None
    loaded = Loaded(source, plan.file, job, plan, problems=[*problems, *more])
    usage = _complete(loaded, choices, lenient=lenient)
    if not loaded.problems or lenient:
        usage = usage or _select(plan, choices)
    loaded.problems += Checker(plan, job).check()
    if loaded.problems:
        raise spec_error(source, loaded.problems)
    if usage is not None:
        raise usage
    return loaded


def spec_error(source: Source, problems: list[Problem]) -> SpecError:
    """Return the error that carries all *problems* of *source*."""
    reports = source.report(problems)
    count = len(reports)
    return SpecError(f"{source.name}: {count} error{'s' if count != 1 else ''}", reports)


# Models


def _validated(source: Source) -> tuple[Job | None, list[str], list[Problem]]:
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
    if ("params",) in wrong:
        return None, [], problems  # every look-up of a parameter would be told as wrong
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
    models: dict[str, Any] = {
        "params": Param,
        "limits": Limits,
        "defaults": TaskKeys,
        "tasks": Task,
    }
    if len(where) == 1:
        model: Any = Job
    elif len(where) >= 3 and where[-2] == "retry":  # noqa: PLR2004
        model = Retry
    else:
        model = models.get(str(where[0]), Job)
    key = str(where[-1])
    hint = _OTHER_WORDS.get(key)
    known = [name for name in model.model_fields if name != hint]
    elsewhere = key in Job.model_fields or key in Task.model_fields
    near = "" if hint or elsewhere else did_you_mean(key, known)
    message = f"unknown key{near}"
    if not near and not hint:
        if model is TaskKeys and key in Task.model_fields:
            message = "cannot stand in `defaults`; it belongs to a task"
        elif model is Job and key in Task.model_fields:
            hint = "this key belongs to a task, or into `defaults`"
        elif model in (Task, TaskKeys) and key in Job.model_fields:
            hint = "this key belongs to the job"
        elif model in (Param, Limits, Retry):
            message += f"; expected {listing(list(model.model_fields))}"
    return Problem(where, message, hint, at_key=True)


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
        if top not in ("tasks", "params") or len(where) == 2:  # noqa: PLR2004 - PART.NAME itself
            part.pop(name, None)
        elif isinstance(inner, dict):
            part[name] = {key: item for key, item in inner.items() if key != where[2]}
        if top == "tasks" and (len(where) == 2 or where[2] in _DECISIVE):  # noqa: PLR2004
            broken[name] = None
        elif top == "params" and len(where) == 2:  # noqa: PLR2004
            part[name] = {}
    tasks = rest.get("tasks")
    left = {n: t for n, t in tasks.items() if n not in broken} if isinstance(tasks, dict) else {}
    rest["tasks"] = left or {"_": {"mode": "thread", "function": "builtins:print"}}
    return rest, list(broken)


# Parameters and environment


def _complete(loaded: Loaded, choices: Choices, *, lenient: bool) -> UsageError | None:
    """Fill in parameters, environment and static templates; return what is wrong with *choices*."""
    job, plan, problems = loaded.job, loaded.plan, loaded.problems
    root = plan.root
    environment: dict[str, str | None] = dict(os.environ)
    environment.update(_env_file(job, root, problems))
    names: dict[str, Any] = {"env": environment, "sys": system_names()}
    problems += parameters.declared(job.params)
    wrong = {str(problem.where[1]) for problem in problems
             if problem.where[:1] == ("params",) and len(problem.where) > 1}  # fmt: skip
    sound = {name: param for name, param in job.params.items() if name not in wrong}
    values, more = parameters.defaults(sound, names, lambda path: _absolute(root, path))
    problems += more
    usage = None
    called_from = choices.called_from or os.getcwd()
    try:
        absolute = lambda path: _absolute(called_from, path)  # noqa: E731 - a seam of one line
        values.update(parameters.given(job.params, choices.params, absolute))
    except UsageError as error:
        usage = error
    missing = [n for n in parameters.missing(sound, values) if n not in choices.params]
    missing = [name for name in missing if name not in {str(p.where[1]) for p in more}]
    if missing and not lenient:
        plural = "s" if len(missing) > 1 else ""
        usage = usage or UsageError(
            f"missing parameter{plural} {listing(missing, 'and')}; give -p {missing[0]}=VALUE"
        )
    for name in job.params:
        if name not in values and name not in missing and name not in wrong:
            values[name] = None
    loaded.missing = tuple(missing)
    unknown = frozenset({*missing, *wrong, *(str(p.where[1]) for p in more)})
    plan.params = values
    names["params"] = values
    environment.update(_job_env(job, names, unknown, problems))
    loaded.environment = environment
    loaded.names = {**names, "env": {k: v for k, v in environment.items() if v is not None}}
    _limits(loaded, unknown)
    problems += fill(plan, job, loaded.names, unknown)
    return usage


def _absolute(folder: str, path: str) -> str:
    return os.path.normpath(os.path.join(folder, os.path.expanduser(path)))


def system_names() -> dict[str, Any]:
    """Return what templates see as ``sys``."""
    return {
        "stdlib": sysconfig.get_path("stdlib"),
        "executable": sys.executable,
        "version": platform.python_version(),
        "platform": sys.platform,
        "cpus": cpus(),
    }


def cpus() -> int:
    """Return how many CPUs this process may use, as affinity and cgroup allow; at least 1."""
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        if quota != "max":
            count = min(count, max(1, int(int(quota) / int(period))))
    except (OSError, ValueError, ZeroDivisionError):
        pass
    return max(1, count)


def _env_file(job: Job, root: str, problems: list[Problem]) -> dict[str, str]:
    if job.env_file is None:
        return {}
    try:
        text = read_bytes(Path(root, job.env_file)).decode()
    except (ValueError, UnicodeDecodeError) as error:
        said = "is not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
        problems.append(Problem(("env_file",), f"{quote(job.env_file)}: {said}"))
        return {}
    result: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        name, equals, value = stripped.removeprefix("export ").partition("=")
        if not equals or not re.fullmatch(r"[A-Za-z_]\w*", name.strip()):
            message = f"{quote(job.env_file)}, line {number}: expected NAME=value"
            problems.append(Problem(("env_file",), message))
            continue
        value = value.strip()
        if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
            value = value[1:-1]
        result[name.strip()] = value
    return result


def _job_env(
    job: Job, names: Mapping[str, Any], unknown: frozenset[str], problems: list[Problem]
) -> dict[str, str | None]:
    result: dict[str, str | None] = {}
    for name, value in job.env.items():
        try:
            filled = value if value is None else _early_text(value, names, unknown)
        except TemplateError as error:
            problems.append(Problem(("env", name), str(error)))
            continue
        result[name] = filled
    return result


def _early_text(value: str, names: Mapping[str, Any], unknown: frozenset[str]) -> str:
    """Fill in a text of the job itself. Raises ``TemplateError``."""
    if "{{" not in value:
        return value
    template = templates.parse(value)
    late = sorted(template.roots & {"tasks", "item", "run"})
    if late:
        raise TemplateError(f"`{late[0]}` is not known before the run")
    if any(name[0] == "params" and len(name) > 1 and name[1] in unknown for name in template.names):
        return ""
    return templates.as_text(template.render(names))


def _limits(loaded: Loaded, unknown: frozenset[str]) -> None:
    """Resolve what holds for the whole run."""
    job, plan = loaded.job, loaded.plan
    count = cpus()
    plan.threads = _early(loaded, unknown, "limits", "threads") or max(
        _LEAST_THREADS, _MANY_THREADS * count
    )
    plan.processes = _early(loaded, unknown, "limits", "processes") or count
    plan.timeout_s = _early(loaded, unknown, "timeout")
    plan.grace_s = _early(loaded, unknown, "grace") or 0.0
    for task in plan.tasks.values():
        if templates.compiled(task.grace_s) is not task.grace_s:
            task.grace_s = plan.grace_s  # from the job, where it was a template
    if isinstance(job.python, str) and "{{" in job.python:
        filled = _early(loaded, unknown, "python")
        for task in plan.tasks.values():
            if isinstance(task.python, templates.Template) and task.python.text == job.python:
                task.python = filled


def _early(loaded: Loaded, unknown: frozenset[str], *where: str) -> Any:
    """Return a value of the job's own, its template filled in and checked by its model."""
    value: Any = loaded.job
    for part in where:
        value = getattr(value, part)
    if not (isinstance(value, str) and "{{" in value):
        return value
    try:
        template = templates.parse(value)
        if late := sorted(template.roots - {"params", "env", "sys"}):
            raise TemplateError(f"`{late[0]}` is not known before the run")
        if any(n[0] == "params" and len(n) > 1 and n[1] in unknown for n in template.names):
            return None
        filled = template.render(loaded.names)
        model: Any = Limits if where[0] == "limits" else Job
        key = where[-1]
        extra: dict[str, Any] = {} if model is Limits else {"tasks": {"_": {}}}
        return getattr(model.model_validate({key: filled, **extra}), key)
    except TemplateError as error:
        loaded.problems.append(Problem(where, str(error)))
    except ValidationError as error:
        loaded.problems.append(Problem(where, error.errors()[0]["msg"]))
    return None


def _select(plan: Plan, choices: Choices) -> UsageError | None:
    if not (choices.only or choices.skip):
        return None
    try:
        out = building.select(plan, choices.only, choices.skip)
    except ValueError as error:
        return UsageError(str(error))
    for name, reason in out.items():
        plan.tasks[name].skip = reason
    return None
