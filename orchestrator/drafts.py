"""Drafts that are kept: a job file that has not changed need not be read and checked again.

One file for each job file, in ``cache`` of its state directory. It counts as long as all of this is
the same: what stands in the job file and where that is, Python, and the part of orch that makes
drafts. It is data for ``marshal``, which damaged bytes can crash: a checksum is looked at first. A
draft that is old, damaged or of somebody else is as good as none.
"""

from __future__ import annotations

import marshal
import os
import sys

from orchestrator import __version__
from orchestrator.digests import sha256
from orchestrator.facts import Facts
from orchestrator.places import cache_directory, root_of
from orchestrator.plan import templates
from orchestrator.plan.draft import Draft, Parameter
from orchestrator.plan.model import Pipeline, Plan, PlanQueue, PlanTask, RetryPolicy
from orchestrator.records import NamedTuple, fields_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_HASH_BYTES = 32
_MOST_BYTES = 256 * 2**20
_PARTS = ("plan", "spec")  # of this package: what a draft depends on
_OPEN = os.O_NOFOLLOW | os.O_CLOEXEC


class Kept(NamedTuple):
    """A draft, frozen, with what is known of the modules that it names."""

    draft: bytes
    facts: Facts


class Shelf:
    """The place of one job file's draft; *data* is what stands in it now."""

    def __init__(self, file: str, data: bytes, state_dir: str | None) -> None:
        self._file = os.path.abspath(file)
        self._root = root_of(file, _root_in(data))
        self._state_dir = state_dir
        self._key = self._key_of(data)
        name = os.path.splitext(os.path.basename(file))[0]
        self._name = f"{name[:64]}-{sha256(os.fsencode(self._file)).hexdigest()[:16]}.draft"

    def _key_of(self, data: bytes) -> bytes:
        head = repr((sys.version, __version__, _code(), self._file, self._root))
        return bytes(sha256(sha256(head.encode("utf-8", "surrogatepass")).digest() + data).digest())

    def kept(self) -> Kept | None:
        """Return the draft, if there is one that still counts."""
        folder = cache_directory(self._root, self._state_dir, make=False)
        if folder is None:
            return None
        try:
            with open(os.open(f"{folder}/{self._name}", os.O_RDONLY | _OPEN), "rb") as file:
                data = file.read(_MOST_BYTES)
        except OSError:
            return None
        body = memoryview(data)[2 * _HASH_BYTES :]
        if data[:_HASH_BYTES] != self._key or data[_HASH_BYTES : 2 * _HASH_BYTES] != _hash(body):
            return None
        draft, calls, files = marshal.loads(body)  # noqa: S302 - our own, unharmed
        return Kept(draft, Facts(calls, files))

    def keep(self, kept: Kept, root: str) -> None:
        """Keep a draft, unless that cannot be; *root* is that of its job."""
        if root != self._root:
            return  # nobody would look for it here
        folder = cache_directory(root, self._state_dir, make=True)
        if folder is None:
            return
        path = f"{folder}/{self._name}"
        fresh = f"{path}.{os.getpid()}"
        try:
            body = marshal.dumps((kept.draft, kept.facts.calls, kept.facts.files))
            with open(
                os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _OPEN, 0o600), "wb"
            ) as file:
                file.write(self._key + _hash(body) + body)
            os.rename(fresh, path)
        except OSError:  # no room
            try:
                os.unlink(fresh)
            except OSError:
                pass


def _hash(data: bytes | memoryview) -> bytes:
    return bytes(sha256(data).digest())


def _root_in(data: bytes) -> str | None:
    """Return the root that a job file seems to name: a guess, to know where to look for a draft."""
    at = 0 if data.startswith(b"root:") else data.find(b"\nroot:") + 1
    if not data.startswith(b"root:", at):
        return None
    line = data[at + 5 : at + 5000].partition(b"\n")[0].partition(b" #")[0].strip()
    return os.fsdecode(line.strip(b"'\"")) or None


def _code() -> list[tuple[str, int, int]]:
    """Return what tells the code that makes drafts from any other."""
    package = os.path.dirname(__file__)
    found = [(__file__, *_state(__file__))]
    for part in _PARTS:
        with os.scandir(f"{package}/{part}") as entries:
            found += [(e.name, *_state(e.path)) for e in entries if e.name.endswith(".py")]
    return sorted(found)


def _state(path: str) -> tuple[int, int]:
    found = os.stat(path)
    return found.st_mtime_ns, found.st_size


# To plain data and back. Templates become tuples that begin with `...`, which no YAML has.


def frozen(draft: Draft) -> bytes | None:
    """Return *draft* as bytes, as long as nothing was filled in; None where it has no such form."""
    plan = draft.plan
    data = fields_of(draft)
    data["plan"] = {
        **vars(plan),
        "tasks": [_task_data(task) for task in plan.tasks.values()],
        "queues": [vars(queue) for queue in plan.queues.values()],
        "pipelines": [tuple(pipeline) for pipeline in plan.pipelines],
    }
    data["params"] = {name: tuple(param) for name, param in draft.params.items()}
    try:
        return marshal.dumps(data)
    except ValueError:  # nested too deep
        return None


def thawed(data: bytes) -> Draft:
    """Return the draft that was frozen."""
    fields = marshal.loads(data)  # noqa: S302 - our own, looked at by who read it
    plan = _made(Plan, fields["plan"])
    plan.tasks = {task["name"]: _task(task) for task in plan.tasks}
    plan.queues = {queue["name"]: _made(PlanQueue, queue) for queue in plan.queues}
    plan.pipelines = [Pipeline(*pipeline) for pipeline in plan.pipelines]
    params = {name: Parameter(*param) for name, param in fields["params"].items()}
    draft: Draft = _made(Draft, {**fields, "plan": plan, "params": params})
    return draft


def _made(kind: Any, fields: dict[str, Any]) -> Any:
    """Return a record of *kind* with exactly these fields; there may be very many of them."""
    record = kind.__new__(kind)
    record.__dict__.update(fields)
    return record


def _task_data(task: PlanTask) -> dict[str, Any]:
    data = dict(vars(task))
    if isinstance(task.retry, RetryPolicy):
        data["retry"] = tuple(task.retry)
    if task.templated:
        data = {key: _with_tuples(value) for key, value in data.items()}
    return data


def _task(data: dict[str, Any]) -> PlanTask:
    if data.get("templated"):
        data = {key: _with_templates(value) for key, value in data.items()}
    task: PlanTask = _made(PlanTask, data)
    if isinstance(task.retry, tuple):
        task.retry = RetryPolicy(*task.retry)
    return task


def _with_tuples(value: Any) -> Any:
    if isinstance(value, templates.Template):
        return (..., value.text, tuple(map(_part, value.parts)))
    if isinstance(value, list):
        return [_with_tuples(item) for item in value]
    if isinstance(value, dict):
        return {key: _with_tuples(item) for key, item in value.items()}
    return value


def _part(part: str | templates.Expression) -> str | tuple[Any, ...]:
    return part if isinstance(part, str) else (part.source, part.keys, part.names)


def _with_templates(value: Any) -> Any:
    if isinstance(value, tuple) and value and value[0] is ...:
        parts = (p if isinstance(p, str) else templates.Expression(*p) for p in value[2])
        return templates.Template(value[1], tuple(parts))
    if isinstance(value, list):
        return [_with_templates(item) for item in value]
    if isinstance(value, dict):
        return {key: _with_templates(item) for key, item in value.items()}
    return value
