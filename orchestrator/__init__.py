"""orch: run Python functions and programs together, as one YAML job file says.

``load_job`` and ``run_job`` do from Python what ``orch run`` does from a shell;
``task`` is what a running task knows about itself.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from orchestrator.api import Job, QueueResult, RunResult, TaskResult, load_job, run_job
    from orchestrator.current import task
    from orchestrator.errors import OrchError, SpecError

__version__ = "0.1.0"

__all__ = [
    "Job",
    "OrchError",
    "QueueResult",
    "RunResult",
    "SpecError",
    "TaskResult",
    "__version__",
    "load_job",
    "run_job",
    "task",
]

# Imported on first use: a task in a process of its own pays only for what it asks for.
_HOMES = {
    "Job": "orchestrator.api",
    "QueueResult": "orchestrator.api",
    "RunResult": "orchestrator.api",
    "TaskResult": "orchestrator.api",
    "load_job": "orchestrator.api",
    "run_job": "orchestrator.api",
    "OrchError": "orchestrator.errors",
    "SpecError": "orchestrator.errors",
    "task": "orchestrator.current",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - orch itself does without

    value = getattr(import_module(home), name)
    globals()[name] = value
    return value
