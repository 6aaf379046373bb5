"""A trial of a task, as ``orch advise --measure`` and ``orch compare`` start them.

A program of its own, and no command: what it takes until its first task begins is what ``orch run``
takes. What is to be run comes on stdin (``advice/staging.py``); what came of it is in the journal.
"""

from __future__ import annotations

import marshal
import os
import sys

from orchestrator import cli

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

NOT_KEPT = "--no-keeper"


def main() -> NoReturn:
    """Run the trial and leave with its exit code."""
    clock = cli.begun(kept=NOT_KEPT not in sys.argv)
    from orchestrator.cli import command  # noqa: PLC0415 - a fork copies what is there already

    command.leave(_run, clock)


def _run() -> None:
    from orchestrator.advice.staging import Staging  # noqa: PLC0415 - what is wrong is handled
    from orchestrator.cli import given, session  # noqa: PLC0415
    from orchestrator.loading import Choices, load  # noqa: PLC0415
    from orchestrator.running import Run  # noqa: PLC0415

    staging = Staging(*marshal.load(sys.stdin.buffer))  # noqa: S302 - from who started this
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)

    def make() -> Run:
        choices = Choices(staging.params, called_from=staging.called_from)
        loaded = load(staging.file, choices, data=staging.data, keep=True, state_dir=staging.state)
        loaded.plan = staging.plan(loaded.plan)
        run = Run(loaded, given.Started.clock, state_dir=staging.state)
        run.sample_s = staging.sample_s
        return run

    session.run_to_end(make, session.Telling(quiet=True, task_output="none"))


if __name__ == "__main__":
    main()
