"""The draft: a job as its file says it, checked, before anything from outside is filled in.

It is plain data, the same whenever the file is the same, so that it can be kept.
"""

from __future__ import annotations

from orchestrator.plan.model import Plan
from orchestrator.records import NamedTuple, Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from orchestrator.errors import Where


class Parameter(NamedTuple):
    """A parameter as it is declared; *given* are the keys that stand in the file."""

    type: str
    default: Any
    required: bool | None
    min: Any
    max: Any
    choices: list[Any] | None
    pattern: str | None
    given: tuple[str, ...]


class Draft(Struct):
    """A plan whose templates are not filled in, and what the job says beside its tasks.

    *root* is as in the file. *early* are values of the job's own that may hold templates, by their
    places: limits, timeout, grace, python, what queues hold. *keys* are those that stand at each
    task and *default_keys* those of ``defaults``: where a problem is found depends on it. So it
    does on *own_env*: the variables of tasks whose ``env`` adds to that of ``defaults``.
    """

    plan: Plan
    root: str | None = None
    env: dict[str, str | None] = {}
    env_file: str | None = None
    secrets: list[str] = []
    params: dict[str, Parameter] = {}
    early: dict[tuple[str, ...], Any] = {}
    keys: dict[str, frozenset[str]] = {}
    default_keys: frozenset[str] = frozenset()
    own_env: dict[str, frozenset[str]] = {}

    def where(self, task: str, key: str, *inner: int | str) -> Where:
        """Return where *key* of *task*, and *inner* in it, stands: in the task, or in defaults."""
        own = key in self.keys.get(task, ()) or key not in self.default_keys
        if key == "env" and inner and task in self.own_env:
            own = inner[0] in self.own_env[task]
        return ("tasks", task, key, *inner) if own else ("defaults", key, *inner)
