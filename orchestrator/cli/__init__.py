"""The command line: one file a command; errors become exit codes here."""

import os
import sys
from typing import NoReturn

from orchestrator.clock import Clock


def main() -> NoReturn:
    """Run ``orch`` and leave with its exit code."""
    _open_descriptors()
    clock = Clock()
    from orchestrator.cli import app  # noqa: PLC0415 - after the descriptors are safe

    app.leave(sys.argv[1:], clock)


def _open_descriptors() -> None:
    """Open /dev/null for whichever of 0, 1, 2 is closed, or the journal would get its number."""
    descriptor = os.open(os.devnull, os.O_RDWR)
    while descriptor < 3:  # noqa: PLR2004 - the first one that is nobody's stream
        descriptor = os.dup(descriptor)
    os.close(descriptor)
    for name, number, mode in (("stdin", 0, "r"), ("stdout", 1, "w"), ("stderr", 2, "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, mode, closefd=False))
