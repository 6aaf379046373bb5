"""``orch clean``: remove the directories of old runs.

A directory is renamed before it is removed, so that nobody ever sees half a run; what an
interrupted clean has left is removed by the next one.
"""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli import options
from orchestrator.cli.console import emit, emit_json, say
from orchestrator.errors import EnvironmentFault, JournalError, UsageError
from orchestrator.finding import find_state, left_trials, runs, started_at
from orchestrator.journal import FILE, headline
from orchestrator.places import RunFolder, is_live, refuse_unsafe
from orchestrator.spec import durations
from orchestrator.spec.words import quote

_REMOVING = ".removing-"
_OLDER_THAN_S = 30 * 86400.0
_STILLBORN_S = 86400.0  # a run has its journal milliseconds after its directory
_NUMBER = re.compile(r"\d+(\.\d+)?")


def clean(
    keep: Annotated[
        int | None, typer.Option("--keep", metavar="N", min=0, help="The newest N stay.")
    ] = None,
    older_than: Annotated[
        str | None,
        typer.Option(
            "--older-than",
            metavar="DURATION",
            help="Only runs that started longer ago: 30d, 12h [30d, unless --keep is given].",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Remove nothing; write what would go to stdout.")
    ] = False,
    as_json: options.AsJson = False,
    state_dir: options.StateDir = None,
) -> None:
    """Remove the directories of old runs; never of one that is under way.

    What a measurement (advise, compare) has left that was killed goes in any case.

    With --keep and --older-than a run goes only if both say so.
    """
    age_s = _age_s(older_than, _OLDER_THAN_S if keep is None else 0.0)
    try:
        state = find_state(Path.cwd(), state_dir)
    except UsageError:
        if not as_json:
            raise
        emit_json({"removed": [], "bytes": 0, "left": 0})
        return
    removed, size, failed = [], 0, False
    for path in _to_remove(state, keep or 0, age_s):
        try:
            size += _size(path) if dry_run else _removed(path)
        except EnvironmentFault as error:
            if path.exists():  # else another clean came first
                say(f"orch: {path.name} stays: {error}")
            continue
        except OSError as error:
            failed = True
            say(f"orch: {path.name} stays: {(error.strerror or str(error)).lower()}")
            continue
        removed.append(path.name.removeprefix(_REMOVING))
    there = {path.name for path in runs(state)}
    left = len(there.difference(removed))
    if as_json:
        emit_json({"removed": removed, "bytes": size, "left": left})
    elif dry_run:
        emit("".join(f"{run}\n" for run in removed))
    count = f"{len(removed)} run{'' if len(removed) == 1 else 's'}, {_in_words(size)}"
    say(f"orch: {'would remove' if dry_run else 'removed'} {count}; {left} left")
    if failed:
        raise typer.Exit(EnvironmentFault.exit_code)


def _age_s(text: str | None, default_s: float) -> float:
    """Return the duration that *text* is. Raises ``UsageError``."""
    if text is None:
        return default_s
    try:
        return durations.seconds(float(text) if _NUMBER.fullmatch(text) else text)
    except ValueError:
        raise UsageError(
            f"--older-than: found {quote(text)}, expected a duration of at most ten years: "
            "seconds (`90`) or text (`30d`, `1h30m`)"
        ) from None


def _to_remove(state: Path, keep: int, age_s: float) -> Iterator[Path]:
    """Yield the directories to remove, the oldest first; none that orch did not make."""
    if trials := left_trials(state):
        refuse_unsafe(state)
        refuse_unsafe(state / "trials")
        yield from trials
    folder = state / "runs"
    if not folder.is_dir():
        return
    refuse_unsafe(state)
    refuse_unsafe(folder)
    known = {path.name for path in runs(state)}
    kept = set(sorted(filter(started_at, known), reverse=True)[:keep])
    now = datetime.now(UTC)
    for path in sorted(folder.iterdir()):
        started = started_at(path.name.removeprefix(_REMOVING))
        if started is None or os.path.islink(path) or not os.path.isdir(path) or is_live(path):
            continue
        if path.name in known:
            wanted = path.name not in kept and now - started >= timedelta(seconds=age_s)
        else:
            over = now - started > timedelta(seconds=_STILLBORN_S)
            wanted = over or path.name.startswith(_REMOVING)
        if wanted:
            yield path


def _removed(path: Path) -> int:
    """Remove the run at *path* and return the bytes that its files had.

    It is locked meanwhile, so that it cannot be resumed. Raises ``EnvironmentFault`` where it is
    under way, ``OSError`` where something in it cannot be removed.
    """
    folder = RunFolder(path)
    try:
        if not folder.locked and not _has_finished(path):
            raise EnvironmentFault("without locks it cannot be told whether it is under way")
        size = _size(path)
        if not path.name.startswith(_REMOVING):
            path = path.rename(path.with_name(_REMOVING + path.name))
        shutil.rmtree(path)
    finally:
        folder.release()
    return size


def _has_finished(path: Path) -> bool:
    if path.name.startswith(_REMOVING) or not (path / FILE).is_file():
        return True
    try:
        return headline(path)[1] is not None
    except JournalError:
        return False


def _size(path: Path) -> int:
    """Return the bytes of all files below *path*."""
    size = 0
    for folder, _, names in os.walk(path):
        for name in names:
            with suppress(OSError):
                size += os.lstat(f"{folder}/{name}").st_size
    return size


def _in_words(size: float) -> str:
    """Return a number of bytes for people: ``12 bytes``, ``3.4 MiB``."""
    if size < 1024:  # noqa: PLR2004
        return f"{size:.0f} bytes"
    for unit in ("KiB", "MiB", "GiB"):
        size /= 1024
        if size < 1000:  # noqa: PLR2004 - three digits before the point at most
            return f"{size:.1f} {unit}"
    return f"{size / 1024:.1f} TiB"
