"""Letters: one anonymous file in memory that takes a call there and its result back.

No pipe to fill, nothing to read before the other side has ended, nothing left on disk. Nothing is
pickled.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress

from orchestrator.events import Cost, Failure
from orchestrator.meter import Begun
from orchestrator.records import NamedTuple
from orchestrator.runners import child

TYPE_CHECKING = False
if TYPE_CHECKING:
    from orchestrator.events import Attempt, Outcome
    from orchestrator.queues.child import Joint


class Answer(NamedTuple):
    """What the other side left: no outcome where it had no time to; *begun* says if it called."""

    outcome: Outcome | None = None
    output: str | None = None
    failure: Failure | None = None
    cost: Cost | None = None
    begun: Begun | None = None


def letter_to(attempt: Attempt, root: str, joint: Joint | None, launched: float) -> tuple[int, int]:
    """Return a new letter that asks for the call of *attempt*, and the bytes of its arguments.

    Raises ``OSError``.
    """
    args, kwargs = json.dumps(attempt.args), json.dumps(attempt.kwargs)
    rest = json.dumps([attempt.function, root, joint, launched])
    letter = _anonymous_file()
    try:
        os.write(letter, f"[{args},{kwargs},{rest[1:]}".encode())
    except BaseException:
        os.close(letter)
        raise
    return letter, len(args) + len(kwargs)


def answer_in(letter: int) -> Answer:
    """Read what the other side left, and close *letter*."""
    with suppress(Exception):  # the task wrote into what was not its own, or closed it
        with open(letter, "rb") as file:
            file.seek(0)
            _, *lines = file.read().split(b"\n")
        for line in reversed(lines):
            with suppress(ValueError):  # it was killed in the middle of that
                kind, *said = json.loads(line)
                if kind == child.BEGUN:
                    return Answer(begun=Begun(*said))
                outcome, output, failure, cost = said
                known = Cost(*cost) if cost else None
                return Answer(outcome, output, Failure(*failure) if failure else None, known)
    return Answer()


def _anonymous_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("orch", os.MFD_CLOEXEC)
    import tempfile  # noqa: PLC0415 - for other systems than Linux

    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
