"""A run that was cut off, or failed, goes on: ``orch resume``."""

from __future__ import annotations

from pathlib import Path

from orchestrator import tender
from orchestrator.errors import EnvironmentFault, SpecError
from orchestrator.journal import Record, headline
from orchestrator.loading import Choices, load
from orchestrator.places import STDIN, RunFolder, is_live
from orchestrator.procfs import kill_carriers
from orchestrator.queues.spool import record_path
from orchestrator.recovery import History
from orchestrator.running import Past, Run
from orchestrator.spec.words import listing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from orchestrator.clock import Clock
    from orchestrator.loading import Loaded
    from orchestrator.plan.model import Plan


def resumed(
    folder: Path,
    clock: Clock,
    *,
    strict: bool = False,
    force: bool = False,
    waits: Callable[[str], None] | None = None,
) -> Run | None:
    """Return the run in *folder*, about to go on; None where it has succeeded.

    The job file is read as it is now, with the run's own parameters; the copy that was kept of it
    stands in where it is gone. Tasks that are not what they were run again, and what needs them;
    with *strict* that is an error (``SpecError``). Tasks that twice ended orch are started only
    with *force*.

    Raises ``EnvironmentFault`` where the run is under way, ``JournalError`` where its journal is
    damaged, ``SpecError``, ``UsageError``.
    """
    locked = _locked(folder)
    try:
        return _resumed(locked, clock, strict=strict, force=force, waits=waits)
    except BaseException:
        locked.release()
        raise


def _locked(folder: Path) -> RunFolder:
    try:
        return RunFolder(folder)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise EnvironmentFault(f"run {folder.name} cannot be used: {reason}") from None
    except EnvironmentFault as error:
        if not is_live(folder):
            raise
        pid = headline(folder)[0]["pid"]
        raise EnvironmentFault(
            f"{error}, as process {pid}; next: orch stop {folder.name}, or wait for it"
        ) from None


def _resumed(
    locked: RunFolder,
    clock: Clock,
    *,
    strict: bool,
    force: bool,
    waits: Callable[[str], None] | None,
) -> Run | None:
    folder = Path(locked.path)
    record = Record(folder, whole=True)
    _, finished = headline(folder)
    if finished is not None and finished.state == "succeeded":
        locked.release()
        return None
    kill_carriers(folder.name)  # what a machine without keepers may have left
    meta = record.meta
    loaded = _loaded(record, meta)
    changed = _changed(record, loaded)
    if strict and changed:
        names = listing(changed, "and")
        raise SpecError(f"{meta['file'] or '<stdin>'}: not what it was when the run began: {names}")
    crash = folder / tender.CRASH
    how = crash.read_text().strip() if crash.exists() else None
    recovery = History(loaded.plan, record.events()).recovery(
        changed, how, _recorded_queues(loaded.plan, folder)
    )
    past = Past(
        locked,
        record.session + 1,
        recovery,
        [name for name in changed if name in recovery.again],
        () if force else recovery.crashed,
    )
    return Run(
        loaded, clock, fail_fast=meta["fail_fast"], sync=meta["sync"], past=past, waits=waits
    )


def _recorded_queues(plan: Plan, folder: Path) -> list[str]:
    """Return the queues of which it is on record what was delivered."""
    again = [queue.name for queue in plan.queues.values() if queue.delivery == "at_least_once"]
    return [name for name in again if Path(record_path(str(folder), name)).exists()]


def _loaded(record: Record, meta: dict[str, Any]) -> Loaded:
    """Read the job file again, or the copy of it."""
    file = meta["file"] or STDIN
    choices = Choices(
        only=meta["only"],
        skip=meta["skip"],
        called_from=meta["called_from"],
        recorded=meta["params"],
    )
    is_gone = file == STDIN or not Path(file).exists()
    loaded = load(file, choices, data=record.source() if is_gone else None)
    modes = {row.name: row.mode for row in record.tasks}
    for name, task in loaded.plan.tasks.items():
        if task.auto:  # as it was when the run began
            task.mode = "process" if modes.get(name) == "process" else "thread"
    return loaded


def _changed(record: Record, loaded: Loaded) -> list[str]:
    """Return the tasks that are not what they were."""
    before = {row.name: row.digest for row in record.tasks}
    return [n for n, digest in loaded.digests.items() if n in before and digest != before[n]]
