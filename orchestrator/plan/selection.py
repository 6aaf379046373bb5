"""A choice of tasks: ``--only`` and ``--skip``."""

from __future__ import annotations

from orchestrator.plan import graph, pipelines, templates
from orchestrator.spec.words import did_you_mean, quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from orchestrator.plan.model import Plan


def select(plan: Plan, only: Collection[str], skip: Collection[str]) -> Mapping[str, str]:
    """Return the tasks that are left out, each with the reason.

    Raises ``ValueError``, its text for the user, for a task that does not exist, or one that is
    skipped while another uses its output, or is joined with it by queues.
    """
    for name in (*only, *skip):
        if name not in plan.tasks:
            raise ValueError(f"unknown task {quote(name)}{did_you_mean(name, plan.tasks)}")
    wanted = graph.with_needs(only, pipelines.brings(plan)) if only else set(plan.tasks)
    out = {name: "not asked for (--only)" for name in plan.tasks if name not in wanted}
    for name in skip:
        out[name] = "left out (--skip)"
    if torn := pipelines.torn(plan, skip, out):
        raise ValueError(torn)
    skipped = set(skip)
    for name, task in plan.tasks.items():
        if name in out:
            continue
        values = (task.command, task.args, task.kwargs, task.env, task.cwd, task.when, task.foreach)
        for value in values:
            for _, template in templates.templates(value):
                if used := sorted(template.outputs & skipped):
                    raise ValueError(
                        f"task `{used[0]}` cannot be skipped: `{name}` uses its output"
                    )
    return out
