"""From a job file to a plan that can run, or to everything that is wrong with it at once."""

from __future__ import annotations

import gc
import os
import sys
from contextlib import contextmanager
from functools import cached_property

from orchestrator.checks import Checker
from orchestrator.digests import Digests
from orchestrator.errors import Mark, Problem, SpecError, TemplateError, UsageError
from orchestrator.places import STDIN, root_of
from orchestrator.plan import params as parameters
from orchestrator.plan import templates
from orchestrator.plan.environment import Environment
from orchestrator.plan.fill import fill
from orchestrator.records import Struct
from orchestrator.spec.reading import read_bytes
from orchestrator.spec.words import listing, quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from typing import Any

    from orchestrator.drafts import Kept, Shelf
    from orchestrator.errors import Report, Where
    from orchestrator.plan.draft import Draft
    from orchestrator.plan.model import Plan, Pool
    from orchestrator.secrets import Secrets
    from orchestrator.spec.source import Source

_MANY_THREADS = 4
_LEAST_THREADS = 8


class Choices(Struct):
    """What a person asked for beside the file.

    *params* are values from ``-p``; text among them is read as the parameter's type. Values of type
    path start at *called_from*, and so does the root of a job that came on stdin. *recorded* are
    the values of a run that is resumed: they stand in for the defaults; those that the file no
    longer declares are passed over.
    """

    params: Mapping[str, Any] = {}
    only: Collection[str] = ()
    skip: Collection[str] = ()
    called_from: str = ""
    recorded: Mapping[str, Any] = {}


class Loaded(Struct):
    """A job file that was read, with its plan.

    *data* is the file; *source* is None where nobody had to look at it, since its draft was kept.
    *frozen* is its draft, where that can be kept. *environment* is what tasks inherit: this
    process's, ``env_file``, ``env``. *names* are for templates. *problems* are errors; with none of
    them the plan can run. *secrets* is None where the job has none.
    """

    data: bytes
    file: str | None
    draft: Draft
    plan: Plan
    checker: Checker
    source: Source | None = None
    frozen: bytes | None = None
    choices: Choices = Choices()
    environment: dict[str, str | None] = {}
    names: dict[str, Any] = {}
    problems: list[Problem] = []
    secrets: Secrets | None = None
    chosen: dict[str, tuple[str, str]] = {}  # modes of tasks that leave it open, and why

    @cached_property
    def digests(self) -> dict[str, str]:
        """The digest of each task, with its code as it was when this was first asked."""
        digests = Digests(self.plan, self.draft.env, self.checker.module_file)
        return {name: digests.of(task) for name, task in self.plan.tasks.items()}


def load(
    file: str,
    choices: Choices | None = None,
    *,
    data: bytes | None = None,
    lenient: bool = False,
    keep: bool = False,
    state_dir: str | None = None,
) -> Loaded:
    """Read and check a job file.

    Raises ``SpecError`` with everything that is wrong; ``UsageError`` where the file is right and
    *choices* are not, ``EnvironmentFault`` where a secret is missing. With *lenient* required
    parameters and secrets may be missing: for looking at a file. With *keep* its draft is kept in
    the state directory, and not made again while the file stays the same.
    """
    choices = choices or Choices()
    with collector_off():  # nothing that is made here is garbage, and there may be a lot of it
        if file == STDIN or data is not None:
            return _read(file, data or b"", choices, lenient=lenient)
        try:
            data = read_bytes(file)
        except ValueError as error:
            raise SpecError(f"{file}: {error}") from None
        if not keep:
            return _read(file, data, choices, lenient=lenient)
        from orchestrator.drafts import Shelf  # noqa: PLC0415 - for runs only

        shelf = Shelf(file, data, state_dir)
        kept = shelf.kept()
        loaded = None if kept is None else _recalled(file, data, choices, kept)
        if loaded is None:  # or what is wrong has to be said with its place in the file
            loaded = _read(file, data, choices, lenient=lenient, keep=True)
        _keep(shelf, loaded)
        loaded.source = loaded.frozen = None  # a run has no use for what may be half of its memory
        return loaded


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


def _read(
    file: str, data: bytes, choices: Choices, *, lenient: bool = False, keep: bool = False
) -> Loaded:
    """Load the job from what stands in the file."""
    from orchestrator.plan import build as building  # noqa: PLC0415 - these cost most of a start
    from orchestrator.spec.source import Source  # noqa: PLC0415
    from orchestrator.spec.validate import in_doubt, validated  # noqa: PLC0415

    source = Source("<stdin>" if file == STDIN else file, data)
    job, broken, problems = validated(source)
    if job is None:
        raise spec_error(source, problems, _secrets(_secrets_named(source)))
    doubtful = in_doubt(source, broken, problems) if problems else ()
    root = root_of(file, job.root, choices.called_from)
    draft, more = building.build(job, root, _name(file), broken, doubtful)
    del job  # there may be a lot of it
    loaded = Loaded(data, None, draft, draft.plan, Checker(draft), source, choices=choices)
    if keep and not (problems or more or draft.secrets):  # what they are has to be looked at
        from orchestrator.drafts import frozen  # noqa: PLC0415 - for runs only

        source.value = None  # nobody looks at it again, and there may be a lot of that, too
        loaded.frozen = frozen(draft)
    loaded.problems = [*problems, *more]
    return _finished(file, loaded, lenient=lenient)


def _recalled(file: str, data: bytes, choices: Choices, kept: Kept) -> Loaded | None:
    """Load the job from its draft; None where something is wrong with it."""
    from orchestrator.drafts import thawed  # noqa: PLC0415 - for runs only

    draft = thawed(kept.draft)
    draft.plan.root = root_of(file, draft.root, choices.called_from)
    checker = Checker(draft, kept.facts)
    loaded = Loaded(data, None, draft, draft.plan, checker, None, kept.draft, choices)
    try:
        return _finished(file, loaded, lenient=False)
    except SpecError:
        return None


def _finished(file: str, loaded: Loaded, *, lenient: bool) -> Loaded:
    """Fill in what comes from outside of the file, and look whether what it names is there."""
    plan, source = loaded.plan, loaded.source
    plan.file = loaded.file = os.path.abspath(file) if file != STDIN else None
    usage = _complete(loaded, loaded.choices, lenient=lenient)
    if not loaded.problems or lenient:
        usage = usage or _select(plan, loaded.choices)
    loaded.problems += loaded.checker.check()
    secrets = loaded.secrets
    if loaded.problems:
        if source is None:
            raise SpecError(file)
        raise spec_error(source, loaded.problems, secrets)
    if usage is not None:
        raise usage if secrets is None else UsageError(secrets.mask(str(usage)))
    if secrets is not None and not lenient:
        secrets.require()
    return loaded


def _keep(shelf: Shelf, loaded: Loaded) -> None:
    """Keep what was found out, if that is new."""
    from orchestrator.drafts import Kept  # noqa: PLC0415 - for runs only

    facts = loaded.checker.facts
    if loaded.frozen is not None and (loaded.source is not None or facts.grew):
        shelf.keep(Kept(loaded.frozen, facts), loaded.plan.root)


def _name(file: str) -> str:
    """Return the name of a job that does not say its own."""
    from orchestrator.spec.models import NAME  # noqa: PLC0415

    stem = os.path.splitext(os.path.basename(file))[0] if file != STDIN else "stdin"
    if NAME.match(stem):
        return stem
    return "".join(c if c.isalnum() or c == "_" else "_" for c in f"_{stem}")[:64]


def _secrets(named: Collection[str]) -> Secrets:
    from orchestrator.secrets import Secrets  # noqa: PLC0415 - few jobs have some

    return Secrets(named, os.environ)


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
    draft, plan, problems, source = loaded.draft, loaded.plan, loaded.problems, loaded.source
    root = plan.root
    environment: dict[str, str | None] = dict(os.environ)
    environment.update(_env_file(draft.env_file, root, problems))
    hidden: dict[str, str] = {}
    if source is not None and (named := draft.secrets or _secrets_named(source)):
        from orchestrator.secrets import Secrets, withheld  # noqa: PLC0415 - few jobs have some

        secrets = loaded.secrets = Secrets(named, environment)
        hidden = withheld(named, secrets, environment)
        problems += _secrets_written(source, secrets)
    names: dict[str, Any] = {"env": Environment(environment, hidden), "sys": system_names()}
    wrong = {str(problem.where[1]) for problem in problems
             if problem.where[:1] == ("params",) and len(problem.where) > 1}  # fmt: skip
    sound = {name: param for name, param in draft.params.items() if name not in wrong}
    values, more = parameters.defaults(sound, names, lambda path: _absolute(root, path))
    problems += more
    usage = None
    called_from = choices.called_from or os.getcwd()
    try:
        if loaded.secrets is not None:
            _refuse_secrets(choices.params, loaded.secrets)
        absolute = lambda path: _absolute(called_from, path)  # noqa: E731 - a seam of one line
        kept = {k: v for k, v in choices.recorded.items() if k in draft.params and v is not None}
        values.update(parameters.given(draft.params, {**kept, **choices.params}, absolute))
    except UsageError as error:
        usage = error
    missing = [n for n in parameters.missing(sound, values) if n not in choices.params]
    missing = [name for name in missing if name not in {str(p.where[1]) for p in more}]
    if missing and not lenient:
        plural = "s" if len(missing) > 1 else ""
        usage = usage or UsageError(
            f"missing parameter{plural} {listing(missing, 'and')}; give -p {missing[0]}=VALUE"
        )
    for name in draft.params:
        if name not in values and name not in missing and name not in wrong:
            values[name] = None
    unknown = frozenset({*missing, *wrong, *(str(p.where[1]) for p in more)})
    plan.params = values
    names["params"] = values
    environment.update(_job_env(draft.env, names, unknown, problems))
    loaded.environment = environment
    loaded.names = {**names, "env": Environment(environment, hidden)}
    written = _limits(loaded, unknown)
    _queues(loaded, unknown)
    problems += fill(draft, loaded.names, unknown)
    if plan.queues:
        from orchestrator.plan import pipelines  # noqa: PLC0415 - few jobs have some

        problems += pipelines.complete(plan, written)
    return usage


def _absolute(folder: str, path: str) -> str:
    return os.path.normpath(os.path.join(folder, os.path.expanduser(path)))


def system_names() -> dict[str, Any]:
    """Return what templates see as ``sys``."""
    return {
        "stdlib": os.path.dirname(os.__file__),
        "executable": sys.executable,
        "version": sys.version.split()[0].rstrip("+"),
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
        quota, period = _text_of("/sys/fs/cgroup/cpu.max").split()
        if quota != "max":
            count = min(count, max(1, int(int(quota) / int(period))))
    except (OSError, ValueError, ZeroDivisionError):
        pass
    return max(1, count)


def _text_of(path: str) -> str:
    with open(path, encoding="ascii") as file:
        return file.read()


def _env_file(name: str | None, root: str, problems: list[Problem]) -> dict[str, str]:
    if name is None:
        return {}
    try:
        text = read_bytes(os.path.join(root, name)).decode()
    except (ValueError, UnicodeDecodeError) as error:
        said = "is not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
        problems.append(Problem(("env_file",), f"{quote(name)}: {said}"))
        return {}
    result: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        key, equals, value = stripped.removeprefix("export ").partition("=")
        if not equals or not key.strip().isidentifier():
            message = f"{quote(name)}, line {number}: expected NAME=value"
            problems.append(Problem(("env_file",), message))
            continue
        value = value.strip()
        if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
            value = value[1:-1]
        result[key.strip()] = value
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
    env: Mapping[str, str | None],
    names: Mapping[str, Any],
    unknown: frozenset[str],
    problems: list[Problem],
) -> dict[str, str | None]:
    result: dict[str, str | None] = {}
    for name, value in env.items():
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
    plan, python = loaded.plan, loaded.draft.early["python",]
    plan.processes = loaded.names["sys"]["cpus"]
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
        grace_s: object = task.grace_s
        if isinstance(grace_s, str):
            task.grace_s = plan.grace_s  # from the job, where it was a template
    if isinstance(python, str) and "{{" in python:
        filled = _early(loaded, unknown, "python")
        for task in plan.tasks.values():
            if isinstance(task.python, templates.Template) and task.python.text == python:
                task.python = filled
    return written


def _queues(loaded: Loaded, unknown: frozenset[str]) -> None:
    """Resolve what queues hold."""
    for name, queue in loaded.plan.queues.items():
        for key in ("maxsize", "max_bytes"):
            value = _early(loaded, unknown, "queues", name, key)
            if value is not None:
                setattr(queue, key, value)
        path = _early(loaded, unknown, "queues", name, "dead_letter")
        queue.dead_letter = None if path is None else _absolute(loaded.plan.root, path)


def _early(loaded: Loaded, unknown: frozenset[str], *where: str) -> Any:
    """Return a value of the job's own, its template filled in and checked by its model."""
    value = loaded.draft.early[where]
    if not (isinstance(value, str) and "{{" in value):
        return value
    try:
        template = templates.parse(value)
        if late := sorted(template.roots - {"params", "env", "sys"}):
            raise TemplateError(f"`{late[0]}` is not known before the run")
        if any(n[0] == "params" and len(n) > 1 and n[1] in unknown for n in template.names):
            return None
        return _checked(template.render(loaded.names), where)
    except (TemplateError, ValueError) as error:
        loaded.problems.append(Problem(where, str(error)))
    return None


def _checked(value: Any, where: Where) -> Any:
    """Return *value* as the model takes it in whose place it stands. Raises ``ValueError``."""
    from pydantic import ValidationError  # noqa: PLC0415 - few jobs have templates there

    from orchestrator.spec.models import Job, Limits, Queue  # noqa: PLC0415

    models: dict[str | int, Any] = {"limits": Limits, "queues": Queue}
    model, key = models.get(where[0], Job), str(where[-1])
    extra: dict[str, Any] = {"tasks": {"_": {}}} if model is Job else {}
    try:
        return getattr(model.model_validate({key: value, **extra}), key)
    except ValidationError as error:
        raise ValueError(error.errors()[0]["msg"]) from None


def _select(plan: Plan, choices: Choices) -> UsageError | None:
    if not (choices.only or choices.skip):
        return None
    from orchestrator.plan.selection import select  # noqa: PLC0415 - few runs leave tasks out

    try:
        out = select(plan, choices.only, choices.skip)
    except ValueError as error:
        return UsageError(str(error))
    for name, reason in out.items():
        plan.tasks[name].skip = reason
    return None
