"""Digests: whether a task is still what it was when it succeeded.

A digest covers what decides on a task's result as far as the job names it: mode, function with the
file of its module, program with its file, arguments, items, environment, working directory, the
queues at its ends. It does not cover modules that those import, files that they read, or programs
that the system finds by their names. Values of secrets are in none of it.
"""

import os
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import orjson

from orchestrator import modules
from orchestrator.plan.model import Plan, PlanTask
from orchestrator.plan.templates import Template

_LENGTH = 32
_OPTIONS = orjson.OPT_NON_STR_KEYS | orjson.OPT_SORT_KEYS | orjson.OPT_PASSTHROUGH_DATACLASS


class Digests:
    """Digests of the tasks of *plan*; each file is read once.

    *env* is the job's ``env``, as it stands in the file.
    """

    def __init__(self, plan: Plan, env: Any) -> None:
        self._plan, self._env = plan, env
        self._files: dict[str, str] = {}
        self._found: dict[str, str | None] = {}

    def of(self, task: PlanTask) -> str:
        """Return the digest of *task*, 32 hexadecimal digits."""
        queue = self._plan.queues.get(task.consume or task.source or "")
        parts = [
            task.mode, task.function, task.program, task.module, task.command, task.shell,
            task.args, task.kwargs, task.env, task.cwd, task.python, task.output,
            task.ok_exit_codes, task.foreach, task.items, task.when, task.replicas,
            task.publish, task.consume, task.source, queue and queue.format,
            self._env, self._code(task),
        ]  # fmt: skip
        return sha256(_bytes(parts)).hexdigest()[:_LENGTH]

    def _code(self, task: PlanTask) -> str | None:
        """Return the digest of the file that *task* names; None where it names none of its own."""
        path: str | None = None
        if task.function is not None:
            path = self._module(task.function.partition(":")[0])
        elif task.module is not None:
            path = self._module(task.module)
        elif task.program is not None:
            path = os.path.join(self._plan.root, task.program)
        elif isinstance(task.command, list) and task.command:
            first = task.command[0]
            if isinstance(first, str) and "/" in first:
                path = os.path.join(self._plan.root, first)
                if not path.startswith(f"{self._plan.root}/"):
                    return None  # the system's, like those without a slash
        return None if path is None else self._file(path)

    def _module(self, name: str) -> str | None:
        if name not in self._found:
            try:
                path = modules.find(name, self._plan.root)
            except modules.NotThere:
                path = None
            self._found[name] = None if path is None else str(path)
        return self._found[name]

    def _file(self, path: str) -> str:
        known = self._files.get(path)
        if known is None:
            known = self._files[path] = _content(path)
        return known


def _content(path: str) -> str:
    digest = sha256()
    try:
        with open(path, "rb", buffering=0) as file:
            while data := file.read(1 << 20):
                digest.update(data)
    except OSError as error:
        return f"cannot be read: {error.errno}"
    return digest.hexdigest()


def _bytes(value: Any) -> bytes:
    try:
        return orjson.dumps(value, default=_text, option=_OPTIONS)
    except (TypeError, ValueError):  # half characters, huge numbers
        return repr(_plain(value)).encode("utf-8", "surrogatepass")


def _text(value: Any) -> Any:
    return ["{{", value.text] if isinstance(value, Template) else repr(value)


def _plain(value: Any) -> Any:
    make: Callable[[Any], Any] = _plain
    if isinstance(value, dict):
        return {str(key): make(inner) for key, inner in sorted(value.items(), key=repr)}
    if isinstance(value, list | tuple):
        return [make(inner) for inner in value]
    return _text(value) if isinstance(value, Template) else value
