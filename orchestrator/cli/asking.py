"""Asking before users' code is run for measuring."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from orchestrator import keeper
from orchestrator.cli.console import say
from orchestrator.errors import EnvironmentFault, UsageError
from orchestrator.spec.words import printable


def ask(text: str, *, yes: bool) -> None:
    """Ask whether what *text* says may be done; with *yes* that is settled.

    Raises ``UsageError`` where nobody can be asked, ``EnvironmentFault`` where the answer is no.
    """
    if yes:
        return
    text += ", with all it does"
    if not sys.stdin.isatty() or not os.isatty(2):
        raise UsageError(f"{text}: say that you want it with --yes")
    say(f"orch: {text}.")
    sys.stderr.write("Go on? [y/N] ")
    sys.stderr.flush()
    try:
        answer = sys.stdin.readline()
    except KeyboardInterrupt:
        say("")  # the shell's prompt gets a line of its own
        raise
    if answer.strip().lower() not in ("y", "yes"):
        raise EnvironmentFault("nothing was run")


def sayer(*, quiet: bool) -> Callable[[str], None]:
    """Return what says a line to people, also while descriptor 2 is that of a run."""
    if quiet:
        return _quiet
    descriptor = os.dup(2)

    def say_aside(text: str) -> None:
        with suppress(OSError):  # nobody is there to be told
            os.write(descriptor, (printable(text) + "\n").encode("utf-8", "backslashreplace"))

    return say_aside


def _quiet(_text: str) -> None:
    """Say nothing: stdout is a document, and stderr is for what is wrong."""


@contextmanager
def measuring(*, kept: bool) -> Iterator[None]:
    """Run users' code here, *kept* as a run of the job would be; a signal ends the command.

    From here on there is what may have to be killed, so nobody may be asked any more.
    """
    if kept:
        keeper.keep()
    from orchestrator.advice.trial import Interrupted  # noqa: PLC0415 - after the fork
    from orchestrator.signals import STOPPING, end_by  # noqa: PLC0415 - after the fork

    def stop(number: int, _frame: FrameType | None) -> None:
        raise Interrupted(number)

    for number in STOPPING:  # also between trials, which have handlers of their own
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, stop)
    try:
        yield
    except Interrupted as error:
        end_by(error.number)
    finally:
        for number in STOPPING:
            if signal.getsignal(number) is stop:
                signal.signal(number, signal.SIG_DFL)
