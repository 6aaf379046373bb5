"""The modes that a task, as it is written, can have."""

from __future__ import annotations

from orchestrator.plan.model import PlanTask
from orchestrator.records import replaced

FUNCTION_MODES = ("thread", "process")  # those that are advised


def fitting(task: PlanTask) -> tuple[str, ...]:
    """Return the modes that may be advised to *task*, a function: those that its keys go with."""
    return ("process",) if task.apart else FUNCTION_MODES


def modes_of(task: PlanTask) -> tuple[str, ...]:
    """Return the modes that are known of *task*: those that it could have, and its own."""
    if task.function is None:
        return (task.mode,)
    modes = fitting(task)
    return modes if task.mode in modes else (*modes, task.mode)


def in_mode(task: PlanTask, mode: str) -> PlanTask:
    """Return *task* as it would be in *mode*."""
    found: PlanTask = replaced(task, mode=mode)
    return found
