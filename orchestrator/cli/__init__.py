"""The command line: one file a command; errors become exit codes here."""

from __future__ import annotations

import gc
import os
import sys

from orchestrator import keeper
from orchestrator.clock import Clock
from orchestrator.lean import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

_KEPT = ("run", "resume")
_NOT_KEPT = {"--no-keeper", "-h", "--help"}


def main() -> NoReturn:
    """Run ``orch`` and leave with its exit code."""
    args = sys.argv[1:]
    clock = begun(kept=_is_kept(args))
    from orchestrator.cli import command  # noqa: PLC0415 - a fork copies what is there already

    command.leave(lambda: command.run(args), clock)


def begun(*, kept: bool) -> Clock:
    """Do what comes first in this process, *kept* by a keeper; return the clock of the run."""
    gc.disable()  # of what is imported nothing is garbage
    _open_descriptors()
    clock = Clock()
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # no traceback for who is not there yet
    if kept:
        keeper.keep()
    return clock


def _is_kept(args: Sequence[str]) -> bool:
    """Tell whether *args* start what must leave no process behind."""
    command = next((arg for arg in args if not arg.startswith("-")), None)
    return command in _KEPT and _NOT_KEPT.isdisjoint(args)


def _open_descriptors() -> None:
    """Open /dev/null for whichever of 0, 1, 2 is closed, or the journal would get its number."""
    descriptor = os.open(os.devnull, os.O_RDWR)
    while descriptor < 3:  # noqa: PLR2004 - the first one that is nobody's stream
        descriptor = os.dup(descriptor)
    os.close(descriptor)
    for name, number, mode in (("stdin", 0, "r"), ("stdout", 1, "w"), ("stderr", 2, "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, mode, closefd=False))
