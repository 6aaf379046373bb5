"""Finding runs: for commands that are told of one by name."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime
from pathlib import Path

from orchestrator.errors import UsageError
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

    Looks past what others own, up to the mount point or home. Raises ``UsageError``.
    """
    if override:
        return Path(override).absolute()
    home, me = Path.home(), os.getuid()
    for folder in (start, *start.parents):
        state = folder / STATE_DIR
        used = (state / "runs").is_dir() or (state / "trials").is_dir()
        if used and state.stat().st_uid == me:
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


def left_trials(state: Path) -> list[Path]:
    """Return the directories of measurements that did not come to their end."""
    folder = state / "trials"
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_dir() and not is_live(path))


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
