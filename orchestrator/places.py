"""Where runs are kept: the state directory, run directories, their locks."""

from __future__ import annotations

import fcntl
import os
import stat
import time
from contextlib import contextmanager

from orchestrator import descriptors
from orchestrator.errors import EnvironmentFault

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Literal

STATE_DIR = ".orch"
STDIN = "-"
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_AGAIN = os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
_LOOKS, _LOOK_S = 3, 0.005
# No letter or digit that looks like another; in the order in which they sort.
ALPHABET = "23456789abcdefghijkmnpqrstuvwxyz"


def new_run_id() -> str:
    """Return an id that sorts by time and is easy to name: ``20261122-125431-k3vq2m``.

    The first two of the six are the milliseconds, so that runs of one second are in order.
    """
    seconds, ns = divmod(time.time_ns(), 10**9)
    number = int.from_bytes(os.urandom(16), "big") * 1000 + ns // 10**6
    number, milli = divmod(number, 1000)
    digits = [*divmod(milli, len(ALPHABET))]
    for _ in range(4):
        number, digit = divmod(number, len(ALPHABET))
        digits.append(digit)
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(seconds))
    return f"{stamp}-{''.join(ALPHABET[digit] for digit in digits)}"


class RunFolder:
    """The directory of one run, locked for as long as this process lives.

    *locked* is False where the file system has no locks. Raises ``EnvironmentFault`` where another
    process holds the lock, where others could write to the directory, where it is gone.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = path = os.fspath(path)
        self.id = os.path.basename(path)
        self.locked = True
        try:
            for folder in (self.state, os.path.dirname(path), path):
                refuse_unsafe(folder)
            self._lock = descriptors.hold(os.open(path, _DIRECTORY))
        except FileNotFoundError:
            raise EnvironmentFault(f"run {self.id} has been removed") from None
        try:
            _lock(self._lock)
        except BlockingIOError:
            descriptors.close(self._lock)
            raise EnvironmentFault(f"run {self.id} is under way") from None
        except OSError:  # a file system without flock: liveness is then told by the journal only
            self.locked = False
        if not _is_at(self._lock, path):  # `orch clean` came first
            descriptors.close(self._lock)
            raise EnvironmentFault(f"run {self.id} has been removed")

    @property
    def state(self) -> str:
        """The state directory that it is in."""
        return os.path.dirname(os.path.dirname(self.path))

    def release(self) -> None:
        """Give the lock back."""
        descriptors.close(self._lock)


def open_output(path: str) -> int:
    """Return a descriptor of a new file at *path* for the output of an attempt."""
    return os.open(path, _AGAIN | os.O_CREAT | os.O_EXCL, 0o600)


def open_again(path: str) -> int:
    """Return a descriptor of a file at *path* that ``open_output`` has made."""
    return os.open(path, _AGAIN)


def open_own(path: str) -> int:
    """Return a descriptor of the file at *path* for what is the run's, also in later sessions."""
    return os.open(path, _AGAIN | os.O_CREAT, 0o600)


class Turn:
    """The right of one run of a job to be under way while others of that job are not."""

    def __init__(self, state: str, job: str) -> None:
        """Open the lock of *job*. Raises ``EnvironmentFault``."""
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        with _explained(state):
            path = f"{_folder_in(state, 'jobs')}/{job}.lock"
            self._lock = descriptors.hold(os.open(path, flags, 0o600))

    def take(self) -> bool:
        """Take it, and tell whether that could be: no other run has it."""
        try:
            _lock(self._lock)
        except BlockingIOError:
            return False
        return True

    def wait(self) -> None:
        """Take it as soon as no other run has it."""
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    def holder(self) -> str:
        """Return who has it, such as ``run ID (process PID)``."""
        return os.pread(self._lock, 200, 0).decode(errors="replace") or "another run"

    def is_for(self, what: str, pid: int) -> None:
        """Let others know who has it."""
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, f"{what} (process {pid})".encode(), 0)

    def release(self) -> None:
        """Give it back."""
        descriptors.close(self._lock)


def _lock(descriptor: int) -> None:
    """Take the lock; raise ``BlockingIOError`` where another process has it for long."""
    for _ in range(_LOOKS):
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_LOOK_S)  # someone may have looked whether it is taken
    return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def root_of(file: str, root: str | None, called_from: str = "") -> str:
    """Return the root directory of the job in *file*, where *root* is what it says itself."""
    folder = (
        (called_from or os.getcwd()) if file == STDIN else os.path.dirname(os.path.abspath(file))
    )
    return os.path.normpath(os.path.join(folder, os.path.expanduser(root or ".")))


def state_directory(root: str, override: str | None) -> str:
    """Return the state directory of a job; *override* is from ``--state-dir``."""
    return os.path.abspath(override) if override else os.path.join(root, STATE_DIR)


def cache_directory(root: str, override: str | None, *, make: bool) -> str | None:
    """Return where drafts of jobs are kept, or None where that cannot be; *make* it if need be."""
    state = state_directory(root, override)
    try:
        if make:
            return _folder_in(state, "cache")
        refuse_unsafe(state)
        refuse_unsafe(f"{state}/cache")
    except (OSError, EnvironmentFault):
        return None
    return f"{state}/cache"


def refuse_unsafe(folder: str | os.PathLike[str]) -> None:
    """Refuse a directory of runs that another user owns, can write to, or has linked.

    Who can write there could have orch write, or resume, what they like. Raises
    ``EnvironmentFault``, naming ``--state-dir``, and ``OSError`` where there is none.
    """
    me, found = os.geteuid(), os.lstat(folder)
    wrong = None
    if stat.S_ISLNK(found.st_mode):
        if found.st_uid != me:
            wrong = f"is a symbolic link of another user ({_user(found.st_uid)})"
        found = os.stat(folder)
    if wrong is None and found.st_uid != me:
        wrong = f"belongs to another user ({_user(found.st_uid)})"
    elif wrong is None and found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        whose = "everyone" if found.st_mode & stat.S_IWOTH else "its group"
        wrong = f"can be written by {whose} (mode {stat.S_IMODE(found.st_mode):04o})"
    if wrong is not None:
        raise EnvironmentFault(
            f"the state directory is not safe: {folder} {wrong}; name another with --state-dir"
        )


def _user(number: int) -> str:
    import pwd  # noqa: PLC0415 - for a refusal only

    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"uid {number}"


def _is_at(descriptor: int, path: str) -> bool:
    """Tell whether the open directory is still the one at *path*."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except OSError:
        return False


def create_run(state: str, kind: Literal["runs", "trials"] = "runs") -> RunFolder:
    """Make the directory of a new run below *state*, or one for measuring.

    Raises ``EnvironmentFault`` (exit 4), naming ``--state-dir``, where that cannot be.
    """
    with _explained(state):
        path = f"{_folder_in(state, kind)}/{new_run_id()}"
        os.mkdir(path, 0o700)
        return RunFolder(path)


def _folder_in(state: str, name: str) -> str:
    """Make the state directory and a directory in it, if they are not there. Raises ``OSError``."""
    folder = f"{state}/{name}"
    if not os.path.isdir(state):
        os.makedirs(os.path.dirname(state), exist_ok=True)
        _make(state)  # as a parent its group could write under umask 002
    refuse_unsafe(state)
    if not os.path.isdir(folder):
        _make(folder)
    refuse_unsafe(folder)
    ignore = f"{state}/.gitignore"
    if not os.path.exists(ignore):
        with open(ignore, "w", encoding="ascii") as file:
            file.write("*\n")
    return folder


def _make(folder: str) -> None:
    try:
        os.mkdir(folder, 0o700)
    except FileExistsError:
        if not os.path.isdir(folder):
            raise


@contextmanager
def _explained(state: str) -> Iterator[None]:
    """Turn an error of the system into one that names the state directory."""
    try:
        yield
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise EnvironmentFault(
            f"the state directory {state} cannot be used: {reason}; name another with --state-dir"
        ) from error


def is_live(run: str | os.PathLike[str]) -> bool:
    """Tell whether the orch of *run* lives: whether it holds the lock."""
    try:
        descriptor = os.open(run, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False


def wait_for_end(run: str | os.PathLike[str]) -> None:
    """Return when the orch of *run* has given its lock back, however it ended."""
    descriptor = os.open(run, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


def in_commands(run: str | os.PathLike[str]) -> str:
    """Return how a suggested command names *run*, with ``--state-dir`` where it needs it."""
    run = os.fspath(run)
    short = run.rpartition("-")[2]
    state = os.path.dirname(os.path.dirname(run))
    here = os.environ.get("PWD") or "."
    folder, name = os.path.split(state)
    if name == STATE_DIR and (here == folder or here.startswith(folder.rstrip("/") + "/")):
        return short
    return f"--state-dir {relative(state)} {short}"


def relative(path: str) -> str:
    """Return *path* as seen from where orch was called, if it lies below."""
    here = os.environ.get("PWD")
    return path.removeprefix(here.rstrip("/") + "/") if here else path
