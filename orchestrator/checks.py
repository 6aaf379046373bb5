"""Whether what a plan names is there: functions, programs, modules, directories, Pythons."""

from __future__ import annotations

import os
import sys

from orchestrator import pythons
from orchestrator.errors import Problem
from orchestrator.facts import Facts
from orchestrator.plan.model import INSIDE
from orchestrator.spec.words import did_you_mean, quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from orchestrator.errors import Where
    from orchestrator.plan.draft import Draft
    from orchestrator.plan.model import PlanTask

PROBE_TIMEOUT_S = 60.0
_MOST_SUSPECTS = 20


class Checker:
    """Checks one plan; what is asked twice is looked at once.

    *facts* are what was found out about the user's modules before.
    """

    def __init__(self, draft: Draft, facts: Facts | None = None) -> None:
        self.plan, self.draft = draft.plan, draft
        self.root = draft.plan.root
        self.facts = Facts() if facts is None else facts
        self.problems: list[Problem] = []
        self._said: dict[Any, str | None] = {}

    def check(self) -> list[Problem]:
        """Return what is missing, by looking at files only. Interpreters are resolved in place."""
        if not os.path.isdir(self.root):
            there = os.path.exists(self.root)
            what = "is a file, expected a directory" if there else "no such directory"
            return [Problem(("root",), f"{self.root}: {what}")]
        for task in self.plan.tasks.values():
            if task.skip is None:
                self._check(task)
        for queue in self.plan.queues.values():
            if queue.dead_letter is not None:
                self._dead_letter(queue.name, queue.dead_letter)
        return self.problems

    def _check(self, task: PlanTask) -> None:
        if task.mode == "interpreter" and not pythons.has_interpreters():
            self._say(task, "mode", pythons.why_no_interpreters())
        if task.function is not None:
            self._say(task, "function", self._function(task))
        if isinstance(task.python, str):
            self._python(task)
        if task.program is not None:
            self._say(task, "program", self._once(("program", task.program), self._program, task))
        if task.module is not None and task.python is None:
            self._say(task, "module", self._once(("module", task.module), self._module, task))
        if isinstance(task.cwd, str):
            said = self._once(("cwd", task.cwd), self._folder, task)
            if said is None and task.mode in INSIDE:
                said = self._once(("own folder",), self._own_folder, task)
            self._say(task, "cwd", said)

    def _say(self, task: PlanTask, key: str, said: str | None) -> None:
        if said is not None:
            self.problems.append(Problem(self._where(task, key), said))

    def _where(self, task: PlanTask, key: str) -> Where:
        draft = self.draft
        if key == "python" and key not in {*draft.keys.get(task.name, ()), *draft.default_keys}:
            return ("python",)
        return draft.where(task.name, key)

    def _once(
        self, key: tuple[Any, ...], look: Callable[[PlanTask], str | None], task: PlanTask
    ) -> str | None:
        if key not in self._said:
            self._said[key] = look(task)
        return self._said[key]

    def _function(self, task: PlanTask) -> str | None:
        # what does not fit depends on the number of arguments and their names only
        args = task.args if isinstance(task.args, list | tuple) else None
        kwargs = task.kwargs if isinstance(task.kwargs, dict) else None
        key = (
            task.function or "", task.consume is not None, task.publish is not None,
            None if args is None else len(args), None if kwargs is None else tuple(kwargs),
        )  # fmt: skip
        if self.facts.is_sound(key, self.root):
            return None
        return self._once(key, lambda t: self._look_into(t, key, args, kwargs), task)

    def _look_into(
        self, task: PlanTask, key: tuple[Any, ...], args: Any, kwargs: Any
    ) -> str | None:
        from orchestrator import modules  # noqa: PLC0415 - reading code costs a whole start

        name = task.function or ""
        said = modules.check_function(name, self.root, args, kwargs, _joined(task))
        if said is None:
            self.facts.learn(key, name.partition(":")[0], self.module_file)
        return said

    def module_file(self, name: str) -> str | None:
        """Return the source file of module *name*; None where it has none, or is not there."""
        known, path = self.facts.file(name, self.root)
        if known:
            return path
        from orchestrator import modules  # noqa: PLC0415 - reading code costs a whole start

        try:
            found = modules.find(name, self.root)
        except modules.NotThere:
            return None
        return None if found is None else str(found)

    def _program(self, task: PlanTask) -> str | None:
        path = os.path.join(self.root, task.program or "")
        if os.path.isfile(path):
            return None
        if os.path.isdir(path):
            return f"{quote(task.program)} is a directory, expected a Python file"
        folder = os.path.dirname(path)
        names = os.listdir(folder) if os.path.isdir(folder) else []
        beside = os.path.dirname(task.program or "")
        near = did_you_mean(task.program or "", [os.path.join(beside, name) for name in names])
        return f"no such program: {quote(task.program)} in {self.root}{near}"

    def _module(self, task: PlanTask) -> str | None:
        name = task.module or ""
        if self.facts.file(name, self.root)[0]:
            return None
        from orchestrator import modules  # noqa: PLC0415 - reading code costs a whole start

        try:
            modules.find(task.module or "", self.root)
        except modules.NotThere as error:
            return str(error)
        self.facts.learn(None, name, self.module_file)
        return None

    def _dead_letter(self, name: str, path: str) -> None:
        folder = os.path.dirname(path)
        if os.path.isdir(path):
            said = f"{quote(path)} is a directory, expected a file"
        elif not os.path.isdir(folder):
            said = f"no such directory: {quote(folder)}"
        else:
            return
        self.problems.append(Problem(("queues", name, "dead_letter"), said))

    def _folder(self, task: PlanTask) -> str | None:
        path = os.path.join(self.root, task.cwd)
        if os.path.isdir(path):
            return None
        if os.path.exists(path):
            return f"{quote(task.cwd)} is a file, expected a directory"
        return f"no such directory: {quote(task.cwd)} in {self.root}"

    def _own_folder(self, _task: PlanTask) -> str | None:
        from orchestrator.runners.folders import threads_have_folders  # noqa: PLC0415

        if threads_have_folders():
            return None
        return "this system gives a thread no directory of its own; use mode `process`"

    def _python(self, task: PlanTask) -> None:
        named = task.python
        key = ("python", named)
        if key not in self._said:
            self._said[key] = None if resolve_python(named, self.root) else (
                f"no Python at {quote(named)}: expected an executable file or a venv folder"
            )  # fmt: skip
        said = self._said[key]
        self._say(task, "python", said)
        if said is None:
            task.python = resolve_python(named, self.root)

    def deep(self) -> tuple[list[Problem], list[Problem]]:
        """Import the functions in a child process and look at them; look for the programs.

        Returns errors and warnings. For ``orch check``: it runs the top level of users' modules.
        """
        self.problems = []
        tasks = [t for t in self.plan.tasks.values() if t.function is not None and t.skip is None]
        calls: dict[tuple[Any, ...], list[PlanTask]] = {}
        for task in tasks:
            args = len(task.args) if isinstance(task.args, list | tuple) else None
            kwargs = tuple(task.kwargs) if isinstance(task.kwargs, dict) else None
            joined = _joined(task)
            call = (task.function, args, kwargs, joined.consumes, joined.publishes)
            calls.setdefault(call, []).append(task)
        for key, said in zip(calls, _probe(list(calls), self.root), strict=False):
            for task in calls[key]:
                self._say(task, "function", said)
        return self.problems, [*self._warnings(), *self._hazards()]

    def _hazards(self) -> list[Problem]:
        """Return what functions on threads may do to each other: suspects, by reading the code."""
        from orchestrator.hazards import hazards  # noqa: PLC0415 - reads all of the user's code

        suspects = hazards(self.plan)
        found, told = [], set()
        for suspect in suspects[:_MOST_SUSPECTS]:
            where = self._where(self.plan.tasks[suspect.tasks[0]], "function")
            hint = None if suspect.ways in told else "; or ".join(suspect.ways)
            told.add(suspect.ways)
            message = f"{suspect.text()}: {suspect.why}"
            found.append(Problem(where, message, hint, level="warning"))
        if (more := len(suspects) - _MOST_SUSPECTS) > 0:
            message = f"{more} more suspects like these are not shown"
            found.append(Problem(found[-1].where, message, level="warning"))
        return found

    def _warnings(self) -> list[Problem]:
        found = []
        for task in self.plan.tasks.values():
            command = task.command
            if isinstance(command, list) and isinstance(command[0], str):
                folder = task.cwd if isinstance(task.cwd, str) else ""
                name = command[0]
                path = os.path.join(self.root, folder, name) if "/" in name else name
                if _which(path) is None:
                    message = f"{quote(name)} is not found here"
                    where = (*self._where(task, "command"), 0)
                    found.append(Problem(where, message, level="warning"))
            if task.mode in INSIDE and task.timeout_s is not None:
                what = "an interpreter" if task.mode == "interpreter" else "a thread"
                message = f"{what} cannot be killed: after its timeout it is asked, then given up"
                hint = "look at `task.cancelled` in the function, or use mode `process`"
                where = self._where(task, "timeout")
                found.append(Problem(where, message, hint, level="warning"))
        return found


def _joined(task: PlanTask) -> Any:
    from orchestrator import modules  # noqa: PLC0415

    return modules.Joined(task.consume is not None, task.publish is not None)


def resolve_python(named: str, root: str) -> str | None:
    """Return the interpreter that *named* means: a file, a venv folder, or a name on PATH."""
    path = os.path.join(root, os.path.expanduser(named))
    if os.path.isdir(path):
        path = os.path.join(path, "bin", "python")
    if os.path.isfile(path) and os.access(path, os.X_OK):
        return path
    return _which(named) if "/" not in named else None


def _which(name: str) -> str | None:
    from shutil import which  # noqa: PLC0415 - for names on PATH only

    return which(name)


def _probe(calls: list[tuple[Any, ...]], root: str) -> list[str | None]:
    if not calls:
        return []
    import json  # noqa: PLC0415 - for ``orch check`` only
    import subprocess  # noqa: PLC0415

    from orchestrator import probe  # noqa: PLC0415

    try:
        done = subprocess.run(
            [sys.executable, "-P", probe.__file__],
            input=json.dumps([root, calls]),
            capture_output=True,
            text=True,
            check=False,
            cwd=root,
            timeout=PROBE_TIMEOUT_S,
            start_new_session=True,
        )
        answers: list[str | None] = json.loads(done.stdout.rpartition("\n")[2])
    except subprocess.TimeoutExpired:
        return [f"importing it takes more than {PROBE_TIMEOUT_S:.0f} s"] * len(calls)
    except ValueError:
        return ["importing it ended Python"] * len(calls)
    return answers
