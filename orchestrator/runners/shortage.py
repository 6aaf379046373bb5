"""Want of means: what the system says when it has no more of something for a while.

Not a reason to fail: when others have ended there are means again.
"""

from __future__ import annotations

import errno
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from orchestrator.events import Failure

_REASONS = {
    errno.EMFILE: ("this process may open no more files", "ulimit -n"),
    errno.ENFILE: ("the system has no more file descriptors", "sysctl fs.file-max"),
    errno.EAGAIN: ("the system starts no more processes or threads", "ulimit -u, pids.max"),
    errno.ENOMEM: ("the system has no more memory", "ulimit -v, memory.max"),
}
_NO_INTERPRETER = "Python can make no more interpreters"  # it does not say why
_HINTS = {
    **{f"{text} ({errno.errorcode[number]})": hint for number, (text, hint) in _REASONS.items()},
    _NO_INTERPRETER: "ulimit -n, ulimit -v, memory.max",
}


def shortage(error: BaseException) -> str | None:
    """Return what the system has no more of, in words; None where *error* says something else."""
    number = error.errno if isinstance(error, OSError) else None
    if type(error).__name__ == "InterpreterError":
        return _NO_INTERPRETER
    if isinstance(error, MemoryError):
        number = errno.ENOMEM
    elif isinstance(error, RuntimeError) and "start new thread" in str(error):
        number = errno.EAGAIN
    if number not in _REASONS:
        return None
    return f"{_REASONS[number][0]} ({errno.errorcode[number]})"


def told(failure: Failure | None) -> str | None:
    """Return the same of what a failure of a function's module tells."""
    if failure is None:
        return None
    for number in _REASONS:
        is_of_c = failure.type == "ImportError" and failure.message.endswith(os.strerror(number))
        if is_of_c or failure.message.startswith(f"[Errno {number}] "):
            return shortage(OSError(number, ""))
    return None


def hint(reason: str) -> str | None:
    """Return which limits to look at."""
    return _HINTS.get(reason)
