"""The journal: one SQLite database a run, the record of what happened.

In WAL mode, one transaction and one row a turn of the loop: the events of the turn as a JSON list
(sixteen rows cost five times as much). The view ``events`` shows them one by one. Nothing is ever
changed or deleted. Where the file system does not do WAL (network ones), SQLite's TRUNCATE mode
takes over.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import orjson

from orchestrator.errors import JournalError
from orchestrator.events import KINDS, RECORDED, Ended, Failure, Finished, Recorded

VERSION = 1
FILE = "journal.db"
_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
CREATE TABLE tasks (ord INTEGER PRIMARY KEY, name TEXT, mode TEXT, instances INTEGER);
CREATE TABLE turns (seq INTEGER PRIMARY KEY, events TEXT);
CREATE VIEW events AS
  SELECT seq, json_extract(value, '$[0]') AS kind, value AS event
  FROM turns, json_each(turns.events);
"""
_INSERT = "INSERT INTO turns (events) VALUES (?)"
_SELECT = "SELECT events FROM turns ORDER BY seq"
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
            if mode != "wal":
                self._db.execute("PRAGMA journal_mode = TRUNCATE")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.execute(f"PRAGMA user_version = {VERSION}")
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
        """Record *events* as one row; return once they survive this process.

        Raises ``JournalError`` (exit 4) when the disk is full or the database is damaged; nothing
        of *events* is then recorded.
        """
        try:
            self._db.execute(_INSERT, (_text([_data(event) for event in events]),))
        except (sqlite3.Error, TypeError, ValueError) as error:
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
                if version == 0:
                    raise JournalError(f"{path} is damaged, and left as it is: it is empty")
                if version != VERSION:
                    raise JournalError(
                        f"{path} is of version {version}; this orch reads version {VERSION}"
                    )
                self.meta = {k: json.loads(v) for k, v in db.execute("SELECT * FROM meta")}
                self.tasks: list[Row] = db.execute(
                    "SELECT name, mode, instances FROM tasks ORDER BY ord"
                ).fetchall()
                self._turns: list[str] = [text for (text,) in db.execute(_SELECT)]
        except (sqlite3.Error, ValueError, OSError) as error:
            raise JournalError(f"{path} is damaged, and left as it is: {error}") from error

    def events(self) -> Iterator[Recorded]:
        """Yield the events, as they were recorded."""
        for turn in self._turns:
            yield from map(event_of, _events(turn))


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
    event = event_of(_events(row[0])[-1]) if row is not None else None
    return meta, event if isinstance(event, Finished) else None


def _uri(path: Path) -> str:
    from urllib.parse import quote  # noqa: PLC0415 - for reading only

    return quote(str(path.absolute()))


# An attempt that succeeded without an output, on a thread: the common one has nothing to say.
_PLAIN_END = (None, None, "null", None, False, False, False, False, None)
_PLAIN_LENGTH = 5


def _data(event: Recorded) -> tuple[Any, ...]:
    """Return *event* as JSON data: its kind, then its fields in order."""
    if event.__class__ is not Ended:
        return (KINDS[event.__class__], *event)
    if event.outcome == "ok" and event[4:] == _PLAIN_END:
        return ("ended", *event[:4])
    error = tuple(event.error) if event.error is not None else None
    return ("ended", *event[:7], error, *event[8:])


def _text(events: list[Any]) -> str:
    try:
        return orjson.dumps(events).decode()
    except TypeError:  # half a character somewhere
        return json.dumps(events)


def _events(text: str) -> list[Any]:
    try:
        found: list[Any] = orjson.loads(text)
    except ValueError:  # again: orjson has no half characters
        found = json.loads(text)
    return found


def event_of(data: Sequence[Any]) -> Recorded:
    """Return the event that *data* is."""
    kind, *fields = data
    if kind == "ended":
        if len(data) == _PLAIN_LENGTH:
            fields += _PLAIN_END
        elif fields[7] is not None:
            fields[7] = Failure(*fields[7])
    return cast("Recorded", RECORDED[kind](*fields))
