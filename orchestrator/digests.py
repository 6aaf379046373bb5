"""Digests: whether a task is still what it was when it succeeded.

A digest covers what decides on a task's result as far as the job names it: mode, function with the
file of its module, program with its file, arguments, items, environment, working directory, the
queues at its ends. It does not cover modules that those import, files that they read, or programs
that the system finds by their names. Values of secrets are in none of it.
"""

from __future__ import annotations

import os
from operator import itemgetter

from orchestrator.plan.model import PlanTask
from orchestrator.plan.templates import Template

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from orchestrator.plan.model import Plan

    sha256: Any
else:  # with ``hashlib`` all of OpenSSL is loaded
    try:
        from _sha2 import sha256
    except ImportError:
        try:
            from _sha256 import sha256
        except ImportError:
            from hashlib import sha256

_LENGTH = 32
# What is covered of a task, and what it is where the file says nothing.
_COVERED = {
    name: getattr(PlanTask, name, None)
    for name in (
        "mode", "function", "program", "module", "command", "shell", "args", "kwargs", "env", "cwd",
        "python", "output", "ok_exit_codes", "foreach", "items", "when", "replicas", "publish",
        "consume", "source",
    )
}  # fmt: skip
_first = itemgetter(0)


class Digests:
    """Digests of the tasks of *plan*; each file is read once.

    *env* is the job's ``env``, as it stands in the file; *module_file* tells a module's file.
    """

    def __init__(self, plan: Plan, env: Any, module_file: Callable[[str], str | None]) -> None:
        self._plan, self._env = plan, _plain(env)
        self._module_file = module_file
        self._files: dict[str, str] = {}
        self._found: dict[str, str | None] = {}

    def of(self, task: PlanTask) -> str:
        """Return the digest of *task*, 32 hexadecimal digits."""
        parts = [
            (name, _plain(value) if value else value)
            for name, value in vars(task).items()
            if name in _COVERED and value != _COVERED[name]
        ]
        parts.sort(key=_first)
        queue = self._plan.queues.get(task.consume or task.source or "")
        text = repr((parts, queue and queue.format, self._env, self._code(task)))
        digest: str = sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
        return digest[:_LENGTH]

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
            self._found[name] = self._module_file(name)
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
    return str(digest.hexdigest())


def _plain(value: Any) -> Any:
    """Return *value* with its mappings in order and its templates as their text."""
    if value.__class__ is str:
        return value
    make: Callable[[Any], Any] = _plain
    if isinstance(value, dict):
        return {str(key): make(inner) for key, inner in sorted(value.items(), key=repr)}
    if isinstance(value, list | tuple):
        return [make(inner) for inner in value]
    return ["{{", value.text] if isinstance(value, Template) else value
