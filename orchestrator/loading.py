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
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from orchestrator.checks import Checker
from orchestrator.digests import Digests
from orchestrator.errors import Mark, Problem, Report, SpecError, TemplateError, UsageError, Where
from orchestrator.plan import build as building
from orchestrator.plan import params as parameters
from orchestrator.plan import pipelines, templates
from orchestrator.plan.environment import Environment
from orchestrator.plan.fill import fill
from orchestrator.plan.model import Plan, Pool
from orchestrator.secrets import Secrets, withheld
from orchestrator.spec.models import NAME, Job, Limits, Queue
from orchestrator.spec.source import Source, read_bytes
from orchestrator.spec.validate import in_doubt, validated
from orchestrator.spec.words import listing, quote

STDIN = "-"
_MANY_THREADS = 4
_LEAST_THREADS = 8


@dataclass
class Choices:
    """What a person asked for beside the file.

    *params* are values from ``-p``; text among them is read as the parameter's type. Values of type
    path start at *called_from*, and so does the root of a job that came on stdin. *recorded* are
    the values of a run that is resumed: they stand in for the defaults; those that the file no
    longer declares are passed over.
    """

    params: Mapping[str, Any] = field(default_factory=dict)
    only: Collection[str] = ()
    skip: Collection[str] = ()
    called_from: str = ""
    recorded: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Loaded:
    """A job file that was read, with its plan.

    *environment* is what tasks inherit: this process's, ``env_file``, ``env``. *names* are for
    templates. *problems* are errors; with none of them the plan can run. *secrets* is None where
    the job has none.
    """

    source: Source
    file: str | None
    job: Job
    plan: Plan
    choices: Choices = field(default_factory=Choices)
    environment: dict[str, str | None] = field(default_factory=dict)
    names: dict[str, Any] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    secrets: Secrets | None = None

    @cached_property
    def digests(self) -> dict[str, str]:
        """The digest of each task, with its code as it was when this was first asked."""
        digests = Digests(self.plan, self.job.env)
        return {name: digests.of(task) for name, task in self.plan.tasks.items()}


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
    *choices* are not, ``EnvironmentFault`` where a secret is missing. With *lenient* required
    parameters and secrets may be missing: for looking at a file.
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
    job, broken, problems = validated(source)
    if job is None:
        raise spec_error(source, problems, Secrets(_secrets_named(source), os.environ))
    stem = Path(file).stem if file != STDIN else "stdin"
    folder = Path(choices.called_from or Path.cwd())
    if file != STDIN:
        folder = Path(file).absolute().parent
    root = os.path.normpath(folder / os.path.expanduser(job.root or "."))
    name = stem if NAME.match(stem) else re.sub(r"\W", "_", f"_{stem}")[:64]
    doubtful = in_doubt(source, broken, problems) if problems else ()
    plan, more = building.build(job, root, name, broken, doubtful)
    plan.file = str(Path(file).absolute()) if file != STDIN else None
    loaded = Loaded(source, plan.file, job, plan, choices, problems=[*problems, *more])
    usage = _complete(loaded, choices, lenient=lenient)
    if not loaded.problems or lenient:
        usage = usage or _select(plan, choices)
    loaded.problems += Checker(plan, job).check()
    secrets = loaded.secrets
    if loaded.problems:
        raise spec_error(source, loaded.problems, secrets)
    if usage is not None:
        raise usage if secrets is None else UsageError(secrets.mask(str(usage)))
    if secrets is not None and not lenient:
        secrets.require()
    return loaded


def spec_error(
    source: Source, problems: list[Problem], secrets: Secrets | None = None
) -> SpecError:
    """Return the error that carries all *problems* of *source*, without the values of *secrets*."""
    reports = reported(source, problems, secrets)
    count = len(reports)
    return SpecError(f"{source.name}: {count} error{'s' if count != 1 else ''}", reports)


def reported(source: Source, problems: list[Problem], secrets: Secrets | None) -> list[Report]:
    """Return *problems* of *source* with their places, without the values of *secrets*."""
    reports = source.report(problems)
    return reports if secrets is None else [secrets.mask_report(report) for report in reports]


# Parameters and environment


def _complete(loaded: Loaded, choices: Choices, *, lenient: bool) -> UsageError | None:
    """Fill in parameters, environment and static templates; return what is wrong with *choices*."""
    job, plan, problems = loaded.job, loaded.plan, loaded.problems
    root = plan.root
    environment: dict[str, str | None] = dict(os.environ)
    environment.update(_env_file(job, root, problems))
    hidden: dict[str, str] = {}
    if named := job.secrets or _secrets_named(loaded.source):
        secrets = loaded.secrets = Secrets(named, environment)
        hidden = withheld(named, secrets, environment)
        problems += _secrets_written(loaded.source, secrets)
    names: dict[str, Any] = {"env": Environment(environment, hidden), "sys": system_names()}
    problems += parameters.declared(job.params)
    wrong = {str(problem.where[1]) for problem in problems
             if problem.where[:1] == ("params",) and len(problem.where) > 1}  # fmt: skip
    sound = {name: param for name, param in job.params.items() if name not in wrong}
    values, more = parameters.defaults(sound, names, lambda path: _absolute(root, path))
    problems += more
    usage = None
    called_from = choices.called_from or os.getcwd()
    try:
        if loaded.secrets is not None:
            _refuse_secrets(choices.params, loaded.secrets)
        absolute = lambda path: _absolute(called_from, path)  # noqa: E731 - a seam of one line
        kept = {k: v for k, v in choices.recorded.items() if k in job.params and v is not None}
        values.update(parameters.given(job.params, {**kept, **choices.params}, absolute))
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
    unknown = frozenset({*missing, *wrong, *(str(p.where[1]) for p in more)})
    plan.params = values
    names["params"] = values
    environment.update(_job_env(job, names, unknown, problems))
    loaded.environment = environment
    loaded.names = {**names, "env": Environment(environment, hidden)}
    written = _limits(loaded, unknown)
    _queues(loaded, unknown)
    problems += fill(plan, job, loaded.names, unknown)
    problems += pipelines.complete(plan, job, written)
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


def _secrets_named(source: Source) -> list[str]:
    """Return the secrets of a file as far as it names them, also where one of them is wrong."""
    named = source.value.get("secrets") if isinstance(source.value, dict) else None
    return [name for name in named if isinstance(name, str)] if isinstance(named, list) else []


def _secrets_written(source: Source, secrets: Secrets) -> list[Problem]:
    """Return where the value of a secret stands in the file itself."""
    found = secrets.place(source.text)
    if found is not None:
        secret, at = found
        before = source.text[:at]
        mark = Mark(before.count("\n") + 1, at - before.rfind("\n"))
        return [Problem((), f"here stands the value of secret `{secret}`", mark=mark)]
    where: Where = ()
    part: str | int = ""
    value = source.value
    while isinstance(value, dict | list):  # down to what holds it
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        inner = next((pair for pair in pairs if secrets.find_in(list(pair)) is not None), None)
        if inner is None:
            break
        part, value = inner
        where = (*where, part)
    name = secrets.find_in([part, value])
    return [Problem(where, f"here stands the value of secret `{name}`")] if where else []


def _refuse_secrets(params: Mapping[str, Any], secrets: Secrets) -> None:
    """Raise ``UsageError`` where a parameter is given the value of a secret."""
    for name, value in params.items():
        if (secret := secrets.find_in([name, value])) is not None:
            raise UsageError(f"parameter {quote(name)} holds the value of secret `{secret}`")


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


def _limits(loaded: Loaded, unknown: frozenset[str]) -> set[Pool]:
    """Resolve what holds for the whole run; return which limits the file sets."""
    job, plan = loaded.job, loaded.plan
    plan.processes = cpus()
    plan.threads = max(_LEAST_THREADS, _MANY_THREADS * plan.processes)
    written: set[Pool] = set()
    pools: tuple[Pool, ...] = ("threads", "processes")
    for pool in pools:
        limit = _early(loaded, unknown, "limits", pool)
        if limit is not None:
            setattr(plan, pool, limit)
            written.add(pool)
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
    return written


def _queues(loaded: Loaded, unknown: frozenset[str]) -> None:
    """Resolve what queues hold."""
    for name, queue in loaded.plan.queues.items():
        for key in ("maxsize", "max_bytes", "dead_letter"):
            value = _early(loaded, unknown, "queues", name, key)
            if value is not None:
                setattr(queue, key, value)
        if queue.dead_letter is not None:
            queue.dead_letter = _absolute(loaded.plan.root, queue.dead_letter)


def _early(loaded: Loaded, unknown: frozenset[str], *where: str) -> Any:
    """Return a value of the job's own, its template filled in and checked by its model."""
    value: Any = loaded.job
    for part in where:
        value = value[part] if isinstance(value, dict) else getattr(value, part)
    if not (isinstance(value, str) and "{{" in value):
        return value
    try:
        template = templates.parse(value)
        if late := sorted(template.roots - {"params", "env", "sys"}):
            raise TemplateError(f"`{late[0]}` is not known before the run")
        if any(n[0] == "params" and len(n) > 1 and n[1] in unknown for n in template.names):
            return None
        filled = template.render(loaded.names)
        model: Any = {"limits": Limits, "queues": Queue}.get(where[0], Job)
        key = where[-1]
        extra: dict[str, Any] = {"tasks": {"_": {}}} if model is Job else {}
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
