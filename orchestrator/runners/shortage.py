"""Want of means: what the system says when it has no more of something for a while.

Not a reason to fail: when others have ended there are means again.
"""

from __future__ import annotations

import errno

TYPE_CHECKING = False
if TYPE_CHECKING:
    from orchestrator.events import Failure

_REASONS = {
    errno.EMFILE: ("this process may open no more files", "ulimit -n"),
    errno.ENFILE: ("the system has no more file descriptors", "sysctl fs.file-max"),
    errno.EAGAIN: ("the system starts no more processes or threads", "ulimit -u, pids.max"),
    errno.ENOMEM: ("the system has no more memory", "ulimit -v, memory.max"),
}
_HINTS = {f"{text} ({errno.errorcode[number]})": hint for number, (text, hint) in _REASONS.items()}


def shortage(error: BaseException) -> str | None:
    """Return what the system has no more of, in words; None where *error* says something else."""
    number = error.errno if isinstance(error, OSError) else None
    if isinstance(error, MemoryError):
        number = errno.ENOMEM
    elif isinstance(error, RuntimeError) and "start new thread" in str(error):
        number = errno.EAGAIN
    if number not in _REASONS:
        return None
    return f"{_REASONS[number][0]} ({errno.errorcode[number]})"


def told(failure: Failure | None) -> str | None:
    """Return the same of what a failure of a function's module tells."""
    if failure is None or not failure.message.startswith("[Errno "):
        return None
    number = failure.message.removeprefix("[Errno ").partition("] ")[0]
    return shortage(OSError(int(number), "")) if number.isdecimal() else None


def hint(reason: str) -> str | None:
    """Return which limits to look at."""
    return _HINTS.get(reason)
