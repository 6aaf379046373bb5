"""Filling in what is known before a run: ``params``, ``env``, ``sys``; the items of ``foreach``."""

from __future__ import annotations

from itertools import product

from orchestrator.errors import Problem, TemplateError
from orchestrator.plan import templates
from orchestrator.plan.model import EARLY_KEYS, LATE_KEYS, PlanTask
from orchestrator.spec.words import found, quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from orchestrator.errors import Where
    from orchestrator.plan.draft import Draft

KNOWN = frozenset({"params", "env", "sys"})
MAX_INSTANCES = 1_000_000
_SHAPES: dict[str, tuple[type, str]] = {
    "args": (list, "a list"), "kwargs": (dict, "a mapping"), "cwd": (str, "text"),
}  # fmt: skip
_FIELD_OF = {"timeout": "timeout_s", "grace": "grace_s"}


def fill(draft: Draft, names: Mapping[str, Any], missing: frozenset[str]) -> list[Problem]:
    """Fill in the plan of *draft* from *names* in place and return what went wrong.

    *missing* are required parameters without a value: ``orch check`` looks at a file without them,
    so templates that use one are left as they are.
    """
    problems: list[Problem] = []
    for name, task in draft.plan.tasks.items():
        _TaskFiller(name, task, draft, names, missing, problems).fill()
    return problems


class _TaskFiller:
    def __init__(
        self,
        name: str,
        task: PlanTask,
        draft: Draft,
        names: Mapping[str, Any],
        missing: frozenset[str],
        problems: list[Problem],
    ) -> None:
        self.name, self.task, self.draft = name, task, draft
        self.names, self.missing, self.problems = names, missing, problems

    def fill(self) -> None:
        task = self.task
        if not task.templated:
            if task.foreach is not None:
                self._foreach()
            return
        for key in LATE_KEYS:
            value = getattr(task, key)
            if value:
                setattr(task, key, self._checked(key, self._known((key,), value)))
        for key in EARLY_KEYS:
            field = _FIELD_OF.get(key, key)
            value = getattr(task, field)
            if any(True for _ in templates.templates(value)):
                setattr(task, field, self._early(key, value))
        if task.foreach is not None:
            self._foreach()

    def _problem(self, where: Where, message: str) -> None:
        key, *inner = where
        self.problems.append(Problem(self.draft.where(self.name, str(key), *inner), message))

    def _known(self, where: Where, value: Any) -> Any:
        """Fill in each template of *value* that can be, and note each that fails."""
        if isinstance(value, templates.Template):
            if not value.roots <= KNOWN or self._lacks(value):
                return value
            try:
                return value.render(self.names)
            except TemplateError as error:
                self._problem(where, str(error))
                return value
        if isinstance(value, list):
            return [self._known((*where, index), item) for index, item in enumerate(value)]
        if isinstance(value, dict):
            return {name: self._known((*where, name), item) for name, item in value.items()}
        return value

    def _checked(self, key: str, value: Any) -> Any:
        """Check what a whole template gave; text for programs holds no NUL."""
        expected = _SHAPES.get(key)
        if expected is not None and not isinstance(value, (expected[0], templates.Template)):
            self._problem((key,), f"found {found(value)}, expected {expected[1]}")
            return None
        if key in ("command", "env") or (key == "args" and self.task.mode == "subprocess"):
            pairs = value.items() if isinstance(value, dict) else enumerate(value)
            for part, text in pairs if isinstance(value, list | dict) else ():
                if isinstance(text, str) and "\0" in text:
                    self._problem((key, part), f"{quote(text)} holds a NUL character")
        return value

    def _lacks(self, template: templates.Template) -> bool:
        return any(
            n[0] == "params" and (len(n) == 1 or n[1] in self.missing) for n in template.names
        ) and bool(self.missing)

    def _early(self, key: str, value: Any) -> Any:
        """Fill in *value* and check it as if it had stood in the file."""
        filled = self._known((key,), value)
        field = _FIELD_OF.get(key, key)
        default = getattr(PlanTask, field)
        if any(True for _ in templates.templates(filled)):
            return default  # a parameter is missing, or its problem is noted already
        from pydantic import ValidationError  # noqa: PLC0415 - few jobs have templates there

        from orchestrator.plan.build import retry_policy  # noqa: PLC0415
        from orchestrator.spec.models import Task  # noqa: PLC0415

        try:
            checked = getattr(Task.model_validate({key: filled}), key)
        except ValidationError as error:
            self._problem((key,), error.errors()[0]["msg"])
            return default
        return retry_policy(checked) if key == "retry" else checked

    def _foreach(self) -> None:
        if any(True for _ in templates.templates(self.task.foreach)):
            return  # over an output: known when that task has ended
        try:
            self.task.items = items(self.task.foreach)
        except ValueError as error:
            self._problem(("foreach",), str(error))
            self.task.items = []


def items(value: Any) -> list[Any]:
    """Return the items of a filled-in ``foreach``: a list's own, or the product of a mapping's.

    Raises ``ValueError``, its text for the user, where there is nothing to go through.
    """
    if isinstance(value, list):
        result = value
    elif isinstance(value, dict):
        for key, each in value.items():
            if not isinstance(each, list):
                raise ValueError(f"`{key}` is {found(each)}, expected a list")
        count = 1
        for each in value.values():
            count *= len(each)
        if count > MAX_INSTANCES:
            raise ValueError(f"{count} instances, expected at most {MAX_INSTANCES}")
        result = [dict(zip(value, chosen, strict=True)) for chosen in product(*value.values())]
    else:
        raise ValueError(f"found {found(value)}, expected a list or a mapping of lists")
    if len(result) > MAX_INSTANCES:
        raise ValueError(f"{len(result)} instances, expected at most {MAX_INSTANCES}")
    return result
