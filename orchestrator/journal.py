"""The journal: one SQLite database a run, the record of what happened.

In WAL mode, one transaction a turn of the loop. A row holds an event; nothing is ever changed or
deleted. Where the file system does not do WAL (network ones), SQLite's TRUNCATE mode takes over.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, cast

from orchestrator.errors import JournalError
from orchestrator.events import (
    KINDS,
    RECORDED,
    Ended,
    Failure,
    Finished,
    Recorded,
    Started,
)

VERSION = 1
FILE = "journal.db"
_SCHEMA = f"""
PRAGMA user_version = {VERSION};
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
CREATE TABLE tasks (ord INTEGER PRIMARY KEY, name TEXT, mode TEXT, instances INTEGER);
CREATE TABLE events (
  seq INTEGER PRIMARY KEY, at REAL, kind TEXT, task TEXT, attempt INTEGER, data TEXT
);
"""
_INSERT = "INSERT INTO events (at, kind, task, attempt, data) VALUES (?, ?, ?, ?, ?)"
_SELECT = "SELECT at, kind, task, attempt, data FROM events ORDER BY seq"
Row = tuple[Any, ...]


class Journal:
    """The journal of a run that is under way."""

    def __init__(self, folder: Path) -> None:
        """Create the database in *folder*. Raises ``JournalError``."""
        self.path = folder / FILE
        try:
            self._db = sqlite3.connect(self.path, isolation_level=None, cached_statements=16)
            # a turn writes whole pages, and few rows; a checkpoint costs two fsyncs
            self._db.execute("PRAGMA page_size = 1024")
            mode = self._db.execute("PRAGMA journal_mode = WAL").fetchone()[0]
            self._db.execute("PRAGMA wal_autocheckpoint = 8000")
            self.wal = mode == "wal"
            if not self.wal:
                self._db.execute("PRAGMA journal_mode = TRUNCATE")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.executescript(_SCHEMA)
            self.path.chmod(0o600)
        except (sqlite3.Error, OSError) as error:
            raise JournalError(f"cannot write {self.path}: {error}") from error

    def begin(self, meta: Mapping[str, Any], tasks: Iterable[Row]) -> None:
        """Record what the run is: *meta* as JSON values, *tasks* as (name, mode, instances)."""
        try:
            self._db.execute("BEGIN")
            self._db.executemany(
                "INSERT INTO meta VALUES (?, ?)",
                [(key, json.dumps(value)) for key, value in meta.items()],
            )
            self._db.executemany(
                "INSERT INTO tasks (name, mode, instances) VALUES (?, ?, ?)", tasks
            )
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            raise JournalError(f"cannot write {self.path}: {error}") from error

    def append(self, events: Sequence[Recorded]) -> None:
        """Record *events* in one transaction; return once they survive this process.

        Raises ``JournalError`` (exit 4) when the disk is full or the database is damaged; nothing
        of *events* is then recorded.
        """
        try:
            self._db.execute("BEGIN")
            self._db.executemany(_INSERT, map(_row, events))
            self._db.execute("COMMIT")
        except (sqlite3.Error, UnicodeError) as error:
            with suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            raise JournalError(f"cannot write {self.path}: {error}") from error

    def close(self) -> None:
        """Fold the write-ahead log into the database and close it."""
        try:
            self._db.close()
        except sqlite3.Error as error:
            raise JournalError(f"cannot close {self.path}: {error}") from error


class Record:
    """What a journal says: read only, also while its run is under way."""

    def __init__(self, folder: Path) -> None:
        """Read the journal in *folder*. Raises ``JournalError`` where there is none to believe."""
        path = folder / FILE
        if not path.is_file():
            raise JournalError(f"no journal in {folder}")
        try:
            with closing(sqlite3.connect(f"file:{_uri(path)}?mode=ro", uri=True)) as db:
                (version,) = db.execute("PRAGMA user_version").fetchone()
                if version != VERSION:
                    raise JournalError(
                        f"{path} is of version {version}; this orch reads version {VERSION}"
                    )
                self.meta = {k: json.loads(v) for k, v in db.execute("SELECT * FROM meta")}
                self.tasks: list[Row] = db.execute(
                    "SELECT name, mode, instances FROM tasks ORDER BY ord"
                ).fetchall()
                self.rows: list[Row] = db.execute(_SELECT).fetchall()
        except (sqlite3.Error, ValueError, OSError) as error:
            raise JournalError(f"{path} is damaged, and left as it is: {error}") from error

    def events(self) -> Iterator[Recorded]:
        """Yield the events, as they were recorded."""
        return map(event_of, self.rows)


def headline(folder: Path) -> tuple[dict[str, Any], Finished | None]:
    """Return a run's meta and how it finished, if it did, without reading all of it.

    Raises ``JournalError``.
    """
    path = folder / FILE
    try:
        with closing(sqlite3.connect(f"file:{_uri(path)}?mode=ro", uri=True)) as db:
            meta = {key: json.loads(value) for key, value in db.execute("SELECT * FROM meta")}
            row = db.execute(_SELECT + " DESC LIMIT 1").fetchone()
    except (sqlite3.Error, ValueError, OSError) as error:
        raise JournalError(f"{path} cannot be read: {error}") from error
    event = event_of(row) if row is not None else None
    return meta, event if isinstance(event, Finished) else None


def _uri(path: Path) -> str:
    from urllib.parse import quote  # noqa: PLC0415 - for reading only

    return quote(str(path.absolute()))


def _row(event: Recorded) -> Row:
    """Return the row of *event*; what its columns do not hold is JSON, or nothing to say."""
    if event.__class__ is Started:
        return (event.at, "started", event.task, event.attempt, None)
    if event.__class__ is Ended:
        data = None
        if event[4:] != _PLAIN_END or event.outcome != "ok":
            data = _json(event[2:3] + event[4:])
        return (event.at, "ended", event.task, event.attempt, data)
    kind = event.__class__
    task, attempt = getattr(event, "task", None), getattr(event, "attempt", None)
    rest = [getattr(event, name) for name in _REST[kind]]
    return (event.at, KINDS[kind], task, attempt, _json(rest) if rest else None)


_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
# An attempt that succeeded without an output, on a thread: the common one has nothing to say.
_PLAIN_END = (None, None, "null", None, False, False)
_REST = {
    kind: [name for name in kind._fields if name not in ("at", "task", "attempt")] for kind in KINDS
}


def event_of(row: Row) -> Recorded:
    """Return the event that a row of the journal holds."""
    at, kind, task, attempt, data = row
    if kind == "ended":
        if data is None:
            return Ended(task, attempt, "ok", at, *_PLAIN_END)
        outcome, exit_status, signal, output, error, *flags = json.loads(data)
        failure = Failure(*error) if error else None
        return Ended(task, attempt, outcome, at, exit_status, signal, output, failure, *flags)
    event = RECORDED[kind]
    fields = dict(zip(_REST[event], json.loads(data) if data else (), strict=True))
    if task is not None:
        fields["task"] = task
    if attempt is not None:
        fields["attempt"] = attempt
    return cast("Recorded", event(at=at, **fields))
