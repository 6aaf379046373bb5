"""Where runs are kept: the state directory, run directories, their locks."""

import fcntl
import os
import re
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from orchestrator import descriptors
from orchestrator.errors import EnvironmentFault, UsageError
from orchestrator.spec.words import quote

STATE_DIR = ".orch"
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_LOOKS, _LOOK_S = 3, 0.005
# No letter or digit that looks like another; in the order in which they sort.
_ALPHABET = "23456789abcdefghijkmnpqrstuvwxyz"
_RUN_ID = re.compile(rf"\d{{8}}-\d{{6}}-[{_ALPHABET}]{{6}}")


def new_run_id() -> str:
    """Return an id that sorts by time and is easy to name: ``20261122-125431-k3vq2m``.

    The first two of the six are the milliseconds, so that runs of one second are in order.
    """
    now = datetime.now(UTC)
    high, low = divmod(now.microsecond // 1000, len(_ALPHABET))
    chance = "".join(secrets.choice(_ALPHABET) for _ in range(4))
    return f"{now:%Y%m%d-%H%M%S}-{_ALPHABET[high]}{_ALPHABET[low]}{chance}"


def started_at(run_id: str) -> datetime | None:
    """Return when the run started; None where *run_id* is not an id as orch makes them."""
    if not _RUN_ID.fullmatch(run_id):
        return None
    try:
        return datetime.strptime(run_id[:15], "%Y%m%d-%H%M%S").replace(tzinfo=UTC)
    except ValueError:  # the 31st of February
        return None


class RunFolder:
    """The directory of one run, locked for as long as this process lives.

    *locked* is False where the file system has no locks. Raises ``EnvironmentFault`` where another
    process holds the lock, where others could write to the directory, where it is gone.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.id = path.name
        self.locked = True
        try:
            for folder in (path.parent.parent, path.parent, path):
                refuse_unsafe(folder)
            self._lock = descriptors.hold(os.open(path, _DIRECTORY))
        except FileNotFoundError:
            raise EnvironmentFault(f"run {path.name} has been removed") from None
        try:
            _lock(self._lock)
        except BlockingIOError:
            descriptors.close(self._lock)
            raise EnvironmentFault(f"run {path.name} is under way") from None
        except OSError:  # a file system without flock: liveness is then told by the journal only
            self.locked = False
        if not _is_at(self._lock, path):  # `orch clean` came first
            descriptors.close(self._lock)
            raise EnvironmentFault(f"run {path.name} has been removed")

    def release(self) -> None:
        """Give the lock back."""
        descriptors.close(self._lock)


class Turn:
    """The right of one run of a job to be under way while others of that job are not."""

    def __init__(self, state: Path, job: str) -> None:
        """Open the lock of *job*. Raises ``EnvironmentFault``."""
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        with _explained(state):
            path = _folder_in(state, "jobs") / f"{job}.lock"
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
        """Return who has it: ``run ID (process PID)``."""
        return os.pread(self._lock, 200, 0).decode(errors="replace") or "another run"

    def is_for(self, run: str, pid: int) -> None:
        """Let others know who has it."""
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, f"run {run} (process {pid})".encode(), 0)

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


def state_directory(root: Path, override: str | None) -> Path:
    """Return the state directory of a job; *override* is from ``--state-dir``."""
    return Path(override).absolute() if override else root / STATE_DIR


def refuse_unsafe(folder: Path) -> None:
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


def _is_at(descriptor: int, path: Path) -> bool:
    """Tell whether the open directory is still the one at *path*."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except OSError:
        return False


def create_run(state: Path) -> RunFolder:
    """Make the directory of a new run below *state*.

    Raises ``EnvironmentFault`` (exit 4), naming ``--state-dir``, where that cannot be.
    """
    with _explained(state):
        path = _folder_in(state, "runs") / new_run_id()
        path.mkdir(mode=0o700)
        return RunFolder(path)


def _folder_in(state: Path, name: str) -> Path:
    """Make the state directory and a directory in it, if they are not there. Raises ``OSError``."""
    folder = state / name
    state.parent.mkdir(parents=True, exist_ok=True)
    state.mkdir(mode=0o700, exist_ok=True)  # as a parent its group could write under umask 002
    refuse_unsafe(state)
    folder.mkdir(mode=0o700, exist_ok=True)
    refuse_unsafe(folder)
    ignore = state / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n")
    return folder


@contextmanager
def _explained(state: Path) -> Iterator[None]:
    """Turn an error of the system into one that names the state directory."""
    try:
        yield
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise EnvironmentFault(
            f"the state directory {state} cannot be used: {reason}; name another with --state-dir"
        ) from error


def find_state(start: Path, override: str | None) -> Path:
    """Return the state directory for commands without a job file: upward from *start*.

    Looks past what others own, up to the mount point or home. Raises ``UsageError``.
    """
    if override:
        return Path(override).absolute()
    home, me = Path.home(), os.getuid()
    for folder in (start, *start.parents):
        state = folder / STATE_DIR
        if (state / "runs").is_dir() and state.stat().st_uid == me:
            return state
        if folder == home or folder.is_mount():
            break
    raise UsageError(f"no runs here: no {STATE_DIR} in {start} or above; name it with --state-dir")


def runs(state: Path) -> list[Path]:
    """Return the directories of all runs, newest first."""
    folder = state / "runs"
    if not folder.is_dir():
        return []
    # one without a journal is being made, or was never more than made; hidden: it is being removed
    found = (
        path
        for path in folder.iterdir()
        if not path.name.startswith(".") and (path / "journal.db").is_file()
    )
    return sorted(found, key=lambda path: path.name, reverse=True)


def find_run(state: Path, reference: str | None) -> Path:
    """Return the directory of the run that *reference* names: an id, its last part or the beginning
    of it, or ``last`` (the default).

    Raises ``UsageError`` where there is none, or more than one.
    """  # noqa: D205 - one sentence
    every = runs(state)
    if not every:
        raise UsageError(f"no runs in {state}")
    if reference in (None, "last"):
        return every[0]
    assert reference is not None
    for path in every:
        if path.name == reference:
            return path
    matching = [path for path in every if path.name.rpartition("-")[2].startswith(reference)]
    matching = matching or [path for path in every if path.name.startswith(reference)]
    if len(matching) == 1:
        return matching[0]
    if not matching:
        raise UsageError(f"no run {quote(reference)} in {state}; next: orch runs")
    names = ", ".join(path.name for path in matching[:3])
    raise UsageError(f"{quote(reference)} names {len(matching)} runs: {names}")


def is_live(run: Path) -> bool:
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


def wait_for_end(run: Path) -> None:
    """Return when the orch of *run* has given its lock back, however it ended."""
    descriptor = os.open(run, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


def output_files(run: Path, task: str | None = None) -> Iterator[tuple[str, int, str, Path]]:
    """Yield (task, attempt, ``out`` or ``err``, path) for each output file, in order of names.

    *task* with instances stands for all of them.
    """
    found = []
    for path in run.iterdir():
        stem, _, kind = path.name.rpartition(".")
        name, _, attempt = stem.rpartition(".")
        if kind not in ("out", "err") or not attempt.isdigit() or not name:
            continue
        if task is None or task in (name, name.partition(".")[0]):
            found.append((name, int(attempt), kind, path))
    yield from sorted(found, key=lambda item: (_natural(item[0]), item[1], item[2] == "err"))


def _natural(name: str) -> tuple[str, int]:
    task, _, index = name.partition(".")
    return task, int(index) if index.isdigit() else -1


def in_commands(run: Path) -> str:
    """Return how a suggested command names *run*, with ``--state-dir`` where it needs it."""
    short = run.name.rpartition("-")[2]
    state = run.parent.parent
    here = Path(os.environ.get("PWD") or ".")
    if any(folder / STATE_DIR == state for folder in (here, *here.parents)):
        return short
    return f"--state-dir {relative(state)} {short}"


def relative(path: Path) -> Path:
    """Return *path* as seen from where orch was called, if it lies below."""
    here = os.environ.get("PWD")
    if here and path.is_relative_to(here):
        return path.relative_to(here)
    return path
