"""Finding runs: for commands that are told of one by name."""

from __future__ import annotations

import os
import re
import stat
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from orchestrator.errors import EnvironmentFault, UsageError
from orchestrator.places import ALPHABET, STATE_DIR, is_live
from orchestrator.spec.words import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_RUN_ID = re.compile(rf"\d{{8}}-\d{{6}}-[{ALPHABET}]{{6}}")


def started_at(run_id: str) -> datetime | None:
    """Return when the run started; None where *run_id* is not an id as orch makes them."""
    if not _RUN_ID.fullmatch(run_id):
        return None
    try:
        return datetime.strptime(run_id[:15], "%Y%m%d-%H%M%S").replace(tzinfo=UTC)
    except ValueError:  # the 31st of February
        return None


def find_state(start: Path, override: str | None) -> Path:
    """Return the state directory for commands without a job file: upward from *start*.

    Looks past what others own, up to the mount point or home. Raises ``UsageError``, and
    ``EnvironmentFault`` where the user's own cannot be read.
    """
    if override:
        return Path(override).absolute()
    home, me = Path.home(), os.getuid()
    for folder in (start, *start.parents):
        state = folder / STATE_DIR
        with suppress(OSError):  # there is none, or none that could be looked at
            if state.stat().st_uid == me:
                with _readable():
                    if _is_directory(state / "runs") or _is_directory(state / "trials"):
                        return state
        if folder == home or folder.is_mount():
            break
    raise UsageError(f"no runs here: no {STATE_DIR} in {start} or above; name it with --state-dir")


def runs(state: Path) -> list[Path]:
    """Return the directories of all runs, newest first; also of those that cannot be read.

    Raises ``EnvironmentFault`` where it cannot be told which there are.
    """
    # one without a journal is being made, or was never more than made; hidden: it is being removed
    found = (
        path
        for path in _listed(state / "runs")
        if not path.name.startswith(".") and _may_be_a_run(path)
    )
    return sorted(found, key=lambda path: path.name, reverse=True)


def _may_be_a_run(path: Path) -> bool:
    try:
        return stat.S_ISREG((path / "journal.db").stat().st_mode)
    except PermissionError:
        return True  # who reads it is told
    except OSError:
        return False


def left_trials(state: Path) -> list[Path]:
    """Return the directories of measurements that did not come to their end.

    Raises ``EnvironmentFault`` where it cannot be told which there are.
    """
    found = _listed(state / "trials")
    return sorted(path for path in found if os.path.isdir(path) and not is_live(path))


def _listed(folder: Path) -> list[Path]:
    """Return what is in *folder*, nothing where there is none. Raises ``EnvironmentFault``."""
    with _readable():
        return list(folder.iterdir()) if _is_directory(folder) else []


def _is_directory(path: Path) -> bool:
    """Tell whether there is a directory at *path*. Raises ``PermissionError``."""
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except PermissionError:
        raise
    except OSError:
        return False


@contextmanager
def _readable() -> Iterator[None]:
    """Turn an error of the system into one that names what could not be read."""
    try:
        yield
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise EnvironmentFault(f"{error.filename} cannot be read: {reason}") from None


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


def output_files(run: Path, task: str | None = None) -> Iterator[tuple[str, int, str, Path]]:
    """Yield (task, attempt, ``out`` or ``err``, path) for each output file, in order of names.

    *task* with instances stands for all of them. Raises ``EnvironmentFault`` where *run* cannot be
    read.
    """
    found = []
    for path in _listed(run):
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
