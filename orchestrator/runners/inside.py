"""The inner side of mode ``interpreter``: make the interpreter the attempt's, call its function."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

from orchestrator import current
from orchestrator.runners import child

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

    from orchestrator.current import Attempt

    Environment = dict[bytes, bytes]


def main(
    letter: int,
    out: int,
    err: int,
    token: memoryview,
    said: tuple[str, int, str, str],
    environment: tuple[tuple[bytes, bytes], ...],
) -> None:
    """Do what *letter* says, with *out* and *err* as standard streams.

    *token* is shared memory: its first byte says whether the attempt is to stop, its second one
    whether the function was called. *said* are the task's name, the attempt's number, the id of the
    run and the socket where orch listens; *environment* is what that of the run is.
    """
    sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115 - for as long as this lasts
    sys.stdout, sys.stderr = _stream(out), _stream(err)
    attempt = _InterpreterAttempt(*said, token)
    current.become(attempt)
    before = dict(os.environb)
    try:
        child.main(letter, attempt.begins)
    finally:
        with suppress(Exception):  # the task has closed its streams, and nobody listens
            _put_back(attempt, before, dict(environment))


def _put_back(attempt: Attempt, before: Environment, environment: Environment) -> None:
    """Put back what the task has changed of the environment, which the whole process shares.

    Only that, and to what it was when the run began: others beside may have changed theirs.
    """
    now = dict(os.environb)
    names = sorted(n for n in now.keys() | before.keys() if now.get(n) != before.get(n))
    if not names:
        return
    for name in names:
        if name in environment:
            os.putenv(name, environment[name])
        else:
            os.unsetenv(name)
    from orchestrator import surroundings  # noqa: PLC0415 - seldom needed

    changes = [surroundings.of_environment([os.fsdecode(name) for name in names])]
    attempt.note("log", surroundings.warning(changes, beside=False))


def _stream(descriptor: int) -> TextIO:
    """Return a stream that leaves nothing unwritten: a killed orch loses no line."""
    return open(
        descriptor, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False
    )


class _InterpreterAttempt(current.OwnAttempt):
    """An attempt that is this whole interpreter."""

    def __init__(self, name: str, number: int, run_id: str, socket: str, token: memoryview) -> None:
        super().__init__(name, number, run_id, socket)
        self._token = token

    def begins(self) -> None:
        """Say that what goes wrong from here on is the function's."""
        self._token[1] = True

    def cancelled(self) -> bool:
        """Tell whether the attempt was asked to stop."""
        return bool(self._token[0])
