"""A task of the plan becomes an attempt: the rest of its templates filled in, paths made whole."""

from __future__ import annotations

import posixpath

from orchestrator.errors import TemplateError
from orchestrator.events import Attempt
from orchestrator.plan import templates
from orchestrator.plan.model import INSIDE
from orchestrator.spec.words import found

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from orchestrator.plan.model import PlanTask


class Preparer:
    """Makes attempts for one run.

    *names* hold ``params env sys run``; *environment* is what programs inherit; *python* runs
    programs that name no other. Paths of a task's files are *folder*``/TASK.ATTEMPT.out|.err``.
    """

    def __init__(
        self,
        *,
        root: str,
        folder: str,
        run_id: str,
        names: Mapping[str, Any],
        environment: Mapping[str, str],
        python: str,
        socket: str,
    ) -> None:
        self.root, self.folder, self.run_id = root, folder, run_id
        self.names, self.python = names, python
        self.environment = dict(environment)
        self._common = {"ORCH_RUN_ID": run_id, "ORCH_RUN_DIR": folder, "ORCH_SOCKET": socket}

    def scope(
        self, task: PlanTask, index: int | None, outputs: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return the names that the templates of an attempt may look up.

        Raises ``TemplateError`` where the item of the instance itself has a template that fails.
        """
        scope = {**self.names, "tasks": outputs}
        if index is not None and task.items is not None:
            scope["item"] = templates.fill(task.items[index], scope)
        return scope

    def attempt(
        self, task: PlanTask, name: str, number: int, scope: Mapping[str, Any] | None
    ) -> Attempt:
        """Return attempt *number* of *name*; *scope* is None where nothing is left to fill in.

        Raises ``TemplateError``.
        """
        stem = f"{self.folder}/{name}.{number}"
        program = task.mode == "subprocess"
        args = _take(task.args, scope, list, "args")
        argv = self._argv(task, args, scope) if program else []
        env = None
        if task.mode not in INSIDE:
            env = self._environment(task, name, number, scope)
        cwd = None
        if task.cwd is not None or task.mode not in INSIDE:
            folder = _take(task.cwd, scope, str, "cwd") if task.cwd is not None else ""
            cwd = posixpath.normpath(posixpath.join(self.root, folder))
        return Attempt._make((
            name, number, task.mode, task.function,
            [] if program else args,
            {} if program else _take(task.kwargs, scope, dict, "kwargs"),
            argv, env, cwd, stem + ".out", stem + ".err", stem + ".output",
            task.output or "file", task.ok_exit_codes, task.leftovers, task.consume, task.publish,
            "warm" if task.mode == "process" else task.start,
        ))  # fmt: skip

    def _argv(self, task: PlanTask, args: list[Any], scope: Mapping[str, Any] | None) -> list[str]:
        extra = [templates.as_text(value) for value in args]
        python = task.python or self.python
        if task.program is not None:
            return [python, posixpath.join(self.root, task.program), *extra]
        if task.module is not None:
            return [python, "-m", task.module, *extra]
        if task.shell:
            return ["/bin/sh", "-c", task.command, *(["sh", *extra] if extra else [])]
        command = _take(task.command, scope, list, "command")
        return [*(templates.as_text(value) for value in command), *extra]

    def _environment(
        self, task: PlanTask, name: str, number: int, scope: Mapping[str, Any] | None
    ) -> dict[str, str]:
        env = {**self.environment, **self._common}
        if task.program is not None or task.module is not None or task.function is not None:
            env.setdefault("PYTHONUNBUFFERED", "1")
            env.setdefault("PYTHONFAULTHANDLER", "1")
        if task.module is not None and task.cwd is not None:
            # `-m` looks in the working directory, and modules are found from root
            inherited = env.get("PYTHONPATH")
            env["PYTHONPATH"] = f"{self.root}:{inherited}" if inherited else self.root
        for key, value in _take(task.env, scope, dict, "env").items():
            if value is None:
                env.pop(key, None)
            else:
                env[key] = templates.as_text(value)
        env["ORCH_TASK"], env["ORCH_ATTEMPT"] = name, str(number)
        env["ORCH_OUTPUT"] = f"{self.folder}/{name}.{number}.output"
        return env


_EXPECTED: dict[type, str] = {list: "a list", dict: "a mapping", str: "text"}


def _take(value: Any, scope: Mapping[str, Any] | None, kind: type, key: str) -> Any:
    """Return *value* filled in, in containers of its own, checked to be of *kind*."""
    if not value and kind is not str:
        return kind()
    result = templates.fill(value, scope or {})
    if not isinstance(result, kind):
        expected = _EXPECTED[kind]
        raise TemplateError(f"`{key}`: found {found(result)}, expected {expected}")
    return result


def condition(value: Any, scope: Mapping[str, Any]) -> bool:
    """Return what ``when`` says. Raises ``TemplateError``.

    Text is refused: a parameter that holds `no` would count as true.
    """
    result = templates.fill(value, scope)
    if isinstance(result, str):
        raise TemplateError(f"`when`: found {found(result)}, expected true or false")
    return bool(result)
