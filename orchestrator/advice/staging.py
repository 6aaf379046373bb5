"""A trial of a task: what of its job is run, in a process that begins as every run of it does.

Nothing may be imported here that a run has not imported: it would be missing in what is measured.
"""

from __future__ import annotations

from orchestrator.records import NamedTuple, replaced

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from orchestrator.plan.model import Plan


class Staging(NamedTuple):
    """What is run of a job; all of it is plain data, for ``marshal``.

    *file* is the job's, or ``-`` with *data*; *params* and *called_from* are what it is loaded
    with. *task* is run in *mode*, once for each of *calls*, which hold fields that are filled in:
    group after group, *groups* are how many at once. Runs and drafts are kept in *state*; the GIL
    is looked at every *sample_s*.
    """

    file: str
    data: bytes | None
    params: Mapping[str, Any]
    called_from: str
    state: str
    task: str
    mode: str
    start: str
    calls: Sequence[Mapping[str, Any]]
    groups: Sequence[int]
    sample_s: float

    def plan(self, whole: Plan) -> Plan:
        """Return the plan of the trial, made of that of the *whole* job."""
        task = whole.tasks[self.task]
        tasks: dict[str, Any] = {}
        needs: tuple[str, ...] = ()
        for size in self.groups:
            names = tuple(name_of(len(tasks) + i) for i in range(size))
            for name in names:
                tasks[name] = replaced(
                    task, name=name, order=len(tasks), needs=needs, mode=self.mode,
                    start=self.start, run_when="succeeded", auto=False, when=None, foreach=None,
                    items=None, replicas=None, skip=None, templated=False, allow_failure=False,
                    **self.calls[len(tasks)],
                )  # fmt: skip
            needs = names
        plan: Plan = replaced(
            whole, tasks=tasks, queues={}, pipelines=[], timeout_s=None, concurrency="allow",
            threads=max(whole.threads, *self.groups), processes=max(whole.processes, *self.groups),
        )  # fmt: skip
        return plan


def name_of(index: int) -> str:
    """Return the name of an attempt of a trial."""
    return f"t{index}"
