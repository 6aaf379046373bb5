"""``orch run``, once it is known what is asked for."""

from __future__ import annotations

from orchestrator.cli import given, session
from orchestrator.cli.session import Telling
from orchestrator.loading import load
from orchestrator.records import NamedTuple
from orchestrator.running import Run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


class Request(NamedTuple):
    """What is to be run, and how; each as the option of its name."""

    file: str
    params: Sequence[str] = ()
    only: Sequence[str] = ()
    skip: Sequence[str] = ()
    fail_fast: bool = False
    sync: str = "normal"
    state_dir: str | None = None
    telling: Telling = Telling()


def start(request: Request) -> None:
    """Run the job to its end, and leave with its exit code."""
    state_dir = request.state_dir

    def make() -> Run:
        choices = given.choices(request.params, request.only, request.skip)
        data = given.job_bytes(request.file)
        loaded = load(request.file, choices, data=data, keep=True, state_dir=state_dir)
        if any(task.auto for task in loaded.plan.tasks.values()):
            from orchestrator.advice import auto  # noqa: PLC0415 - few leave it open

            auto.settle(loaded, state_dir)
        return Run(
            loaded,
            given.Started.clock,
            state_dir=state_dir,
            fail_fast=request.fail_fast,
            sync="full" if request.sync == "full" else "normal",
            waits=session.waits_for(request.telling),
        )

    session.run_to_end(make, request.telling)
