"""Starting a program by the cheapest way that is safe.

That is ``posix_spawn``: no pipe to hear of a failed ``exec``, no import of ``subprocess`` (as much
as Python's own start). It cannot change the working directory, and closes only what was opened to
be closed, so it serves where that is enough: the directory is orch's own, nothing is to be passed
on, and no code of others is in this process that might have opened descriptors otherwise.
"""

from __future__ import annotations

import errno
import os

from orchestrator import descriptors
from orchestrator.lean import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from subprocess import Popen
    from typing import Any

    # its standard streams; None is /dev/null
    Streams = tuple[int | None, int, int]

_TO_DEFAULT = (signal.SIGPIPE, signal.SIGXFSZ)  # ignored by Python, and not to be so in programs
_NOT_THERE = (errno.ENOENT, errno.ENOTDIR)


def spawn(
    argv: list[str],
    cwd: str | None,
    env: Mapping[str, str] | None,
    streams: Streams,
    pass_fds: Sequence[int] = (),
) -> tuple[int, Popen[bytes] | None]:
    """Start *argv* in a session of its own; return its id, and the object that knows it, if any.

    Raises ``OSError`` and ``ValueError`` as ``subprocess.Popen`` does.
    """
    if not pass_fds and descriptors.are_ours_alone() and (cwd is None or cwd == os.getcwd()):
        try:
            return _spawned(argv, os.environ if env is None else env, streams), None
        except NotImplementedError:  # no sessions in it, on this system
            pass
    import subprocess  # noqa: PLC0415 - only where it is needed

    process = subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL if streams[0] is None else streams[0],
        stdout=streams[1],
        stderr=streams[2],
        cwd=cwd,
        env=env,
        start_new_session=True,
        pass_fds=pass_fds,
    )
    return process.pid, process


def _spawned(argv: list[str], env: Mapping[str, str], streams: Streams) -> int:
    actions: list[Any] = [
        (os.POSIX_SPAWN_DUP2, streams[1], 1),
        (os.POSIX_SPAWN_DUP2, streams[2], 2),
    ]
    if streams[0] is None:
        actions.append((os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDWR, 0))
    else:
        actions.append((os.POSIX_SPAWN_DUP2, streams[0], 0))
    wrong: OSError | None = None
    for path in _candidates(argv[0], env):
        try:
            return os.posix_spawn(
                path, argv, env, file_actions=actions, setsid=True, setsigdef=_TO_DEFAULT
            )
        except OSError as error:
            if wrong is None or error.errno not in _NOT_THERE:
                wrong = error
    raise OSError(
        errno.ENOENT if wrong is None else wrong.errno,
        os.strerror(errno.ENOENT if wrong is None else wrong.errno or 0),
        argv[0],
    )


def _candidates(name: str, env: Mapping[str, str]) -> list[str]:
    """Return the files that *name* may mean, as ``PATH`` in *env* has it."""
    if os.path.dirname(name):
        return [name]
    paths = (os.path.join(folder, name) for folder in os.get_exec_path(env))
    return [path for path in paths if os.path.exists(path)]
