"""Where runs are kept: the state directory, run directories, their locks."""

import fcntl
import os
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from orchestrator.errors import EnvironmentFault, UsageError
from orchestrator.spec.words import quote

STATE_DIR = ".orch"
# No letter or digit that looks like another; in the order in which they sort.
_ALPHABET = "23456789abcdefghijkmnpqrstuvwxyz"


def new_run_id() -> str:
    """Return an id that sorts by time and is easy to name: ``20261122-125431-k3vq2m``.

    The first two of the six are the milliseconds, so that runs of one second are in order.
    """
    now = datetime.now(UTC)
    high, low = divmod(now.microsecond // 1000, len(_ALPHABET))
    chance = "".join(secrets.choice(_ALPHABET) for _ in range(4))
    return f"{now:%Y%m%d-%H%M%S}-{_ALPHABET[high]}{_ALPHABET[low]}{chance}"


class RunFolder:
    """The directory of one run, locked for as long as this process lives."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.id = path.name
        self._lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            raise EnvironmentFault(f"run {path.name} is under way") from None
        except OSError:  # a file system without flock: liveness is then told by the journal only
            pass

    def release(self) -> None:
        """Give the lock back."""
        os.close(self._lock)


def state_directory(root: Path, override: str | None) -> Path:
    """Return the state directory of a job; *override* is from ``--state-dir``."""
    return Path(override).absolute() if override else root / STATE_DIR


def create_run(state: Path) -> RunFolder:
    """Make the directory of a new run below *state*.

    Raises ``EnvironmentFault`` (exit 4), naming ``--state-dir``, where that cannot be.
    """
    runs = state / "runs"
    try:
        runs.mkdir(mode=0o700, parents=True, exist_ok=True)
        ignore = state / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n")
        path = runs / new_run_id()
        path.mkdir(mode=0o700)
        return RunFolder(path)
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
    # one without a journal is being made, or was never more than made
    found = (path for path in folder.iterdir() if (path / "journal.db").is_file())
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
