"""The journal: one SQLite database a run, the record of what happened.

In WAL mode, one transaction and one row a turn of the loop: the events of the turn as a JSON list
(sixteen rows cost five times as much). The view ``events`` shows them one by one. Nothing is ever
changed or deleted: each session of a run, its first and every ``orch resume``, adds what it found.
Every row has a checksum, since SQLite does not look at what is inside of its pages. Where the file
system does not do WAL (network ones), SQLite's TRUNCATE mode takes over.
"""

from __future__ import annotations

import os
import stat
from contextlib import closing
from time import monotonic
from zlib import crc32

from orchestrator import jsonio
from orchestrator.errors import JournalError
from orchestrator.events import KINDS, RECORDED, Cost, Ended, Failure, Finished, Started
from orchestrator.lean import sqlite3
from orchestrator.records import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import Any, Literal

    from orchestrator.events import Recorded

    Sync = Literal["normal", "full"]

VERSION = 2
LOOK_S = 0.001  # how often it is looked whether the file is still there
FILE = "journal.db"
_SCHEMA = """
CREATE TABLE sessions (number INTEGER PRIMARY KEY, meta TEXT, source BLOB);
CREATE TABLE tasks (
  session INTEGER, ord INTEGER, name TEXT, mode TEXT, instances INTEGER, digest TEXT,
  PRIMARY KEY (session, ord)
) WITHOUT ROWID;
CREATE TABLE turns (seq INTEGER PRIMARY KEY, events TEXT, checksum INTEGER);
CREATE VIEW events AS
  SELECT seq, json_extract(value, '$[0]') AS kind, value AS event
  FROM turns, json_each(turns.events);
"""
_INSERT = "INSERT INTO turns (events, checksum) VALUES (?, ?)"
_SELECT = "SELECT events, checksum FROM turns ORDER BY seq"
_NEWEST = "SELECT number, meta FROM sessions ORDER BY number DESC LIMIT 1"


class TaskRow(NamedTuple):
    """A task of the plan. *instances*: None without, -1 where their number is not known yet."""

    name: str
    mode: str
    instances: int | None
    digest: str


class Journal:
    """The journal of a run that is under way."""

    def __init__(self, folder: str | os.PathLike[str], *, sync: Sync = "normal") -> None:
        """Create the database in *folder*, or go on with the one that is there.

        What is recorded survives the death of the process; with *sync* ``full`` that of the
        machine. Raises ``JournalError``.
        """
        self.path = os.path.join(folder, FILE)
        is_new = not os.path.exists(self.path)
        self._by_hand = _FEW
        self._looked_at = 0.0
        try:
            self._db = sqlite3.connect(
                self.path, isolation_level=None, check_same_thread=False, cached_statements=16
            )
        except sqlite3.Error as error:
            raise JournalError(f"cannot write {self.path}: {error}") from error
        try:
            self._prepare(sync, is_new=is_new)
        except (sqlite3.Error, OSError) as error:
            self._db.close()
            raise JournalError(f"cannot write {self.path}: {error}") from error

    def _prepare(self, sync: Sync, *, is_new: bool) -> None:
        if is_new:
            self._make(sync)
        mode = self._db.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        self._db.execute("PRAGMA wal_autocheckpoint = 4000")
        if mode != "wal":
            self._db.execute("PRAGMA journal_mode = TRUNCATE")
        self._db.execute(f"PRAGMA synchronous = {sync}")

    def _make(self, sync: Sync) -> None:
        """Make the tables: at once, and no slower than that has to be."""
        if sync == "normal":
            self._db.execute("PRAGMA synchronous = OFF")  # nothing is on record yet
        # a turn writes whole pages, and few rows; a checkpoint costs two fsyncs
        self._db.execute("PRAGMA page_size = 2048")
        self._db.executescript(f"BEGIN; {_SCHEMA} COMMIT")
        os.chmod(self.path, 0o600)

    def begin(
        self,
        session: int,
        meta: Mapping[str, Any],
        source: bytes,
        tasks: Iterable[TaskRow],
        events: Sequence[Recorded] = (),
    ) -> None:
        """Record what a session begins with, all of it or nothing.

        *meta* are JSON values, *source* is the job file, *events* are those of its first turn.
        Raises ``JournalError``; the journal is closed then.
        """
        rows = ((session, order, *task) for order, task in enumerate(tasks))
        try:
            self._db.execute("BEGIN")
            self._db.execute(f"PRAGMA user_version = {VERSION}")  # from here on there is a run
            self._db.execute(
                "INSERT INTO sessions VALUES (?, ?, ?)", (session, jsonio.compact(meta), source)
            )
            self._db.executemany("INSERT INTO tasks VALUES (?, ?, ?, ?, ?, ?)", rows)
            if events:
                self.append(events)
            self._db.execute("COMMIT")
        except (JournalError, sqlite3.Error, TypeError, ValueError) as error:
            self._db.close()
            if isinstance(error, JournalError):
                raise
            raise JournalError(f"cannot write {self.path}: {error}") from error

    def append(self, events: Sequence[Recorded]) -> None:
        """Record *events* as one row; return once they survive this process.

        Raises ``JournalError`` (exit 4) when the disk is full or the database is damaged; nothing
        of *events* is then recorded.
        """
        try:
            if (now := monotonic()) - self._looked_at > LOOK_S:
                self._looked_at = now
                os.stat(self.path)  # SQLite goes on with a file that was removed
            text = f"[{','.join(map(self._text, events))}]"
            checksum = crc32(text.encode())
            self._db.execute(_INSERT, (text, checksum))
        except (sqlite3.Error, OSError, TypeError, ValueError) as error:
            reason = (error.strerror or str(error)).lower() if isinstance(error, OSError) else error
            raise JournalError(f"cannot write {self.path}: {reason}") from error

    def _text(self, event: Recorded) -> str:
        """Return *event* as JSON."""
        kind: type = event.__class__
        fields: tuple[Any, ...] = event
        if kind is Started:  # these two are nearly all, and names need no escape
            waited = f",{fields[3]:.6f}" if fields[3] else ""
            return f'["started","{fields[0]}",{fields[1]},{fields[2]!r}{waited}]'
        if kind is Ended and fields[2] == "ok" and fields[4:-1] == _PLAIN_END:
            cost = f",{_cost_text(fields[-1])}" if fields[-1] is not None else ""
            return f'["ended","{fields[0]}",{fields[1]},"ok",{fields[3]!r}{cost}]'
        data = _data(event)
        if self._by_hand > 0:
            self._by_hand -= 1
            text = jsonio.simple(data)
            if text is not None:
                return text
        return jsonio.encoded(data)

    def close(self) -> None:
        """Fold the write-ahead log into the database and close it."""
        try:
            self._db.close()
        except sqlite3.Error as error:
            raise JournalError(f"cannot close {self.path}: {error}") from error


class Record:
    """What a journal says: read only, also while its run is under way.

    *meta* is that of the newest session, and so are *tasks*; *started_at* is the first one's.
    """

    def __init__(self, folder: str | os.PathLike[str], *, whole: bool = False) -> None:
        """Read the journal in *folder*, with *whole* every page of it.

        Raises ``JournalError`` where there is none to believe.
        """
        path = os.path.join(folder, FILE)
        _refuse_unreadable(path)
        try:
            with closing(sqlite3.connect(f"file:{_uri(path)}?mode=ro", uri=True)) as db:
                self._read(db, path, whole=whole)
        except (sqlite3.Error, ValueError, TypeError, OSError) as error:
            raise JournalError(f"{path} is damaged, and left as it is: {error}") from error

    def _read(self, db: sqlite3.Connection, path: str, *, whole: bool) -> None:
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version == 0:
            raise JournalError(
                f"{path} is empty, and left as it is: the run was cut off before it began"
            )
        if version != VERSION:
            raise JournalError(f"{path} is of version {version}; this orch reads version {VERSION}")
        if whole and (said := db.execute("PRAGMA integrity_check(1)").fetchone()[0]) != "ok":
            raise ValueError(said)
        self.session, meta = _newest(db)
        self.meta: dict[str, Any] = meta
        first = db.execute("SELECT meta FROM sessions ORDER BY number LIMIT 1").fetchone()[0]
        self.started_at: str = jsonio.loads(first)["started_at"]
        self.tasks = [
            TaskRow(*row)
            for row in db.execute(
                "SELECT name, mode, instances, digest FROM tasks WHERE session = ? ORDER BY ord",
                (self.session,),
            )
        ]
        self._turns: list[str] = []
        for text, checksum in db.execute(_SELECT):
            if crc32(text.encode()) != checksum:
                raise ValueError("a turn is not what was recorded")
            self._turns.append(text)
        self._path = path

    def events(self) -> Iterator[Recorded]:
        """Yield the events, as they were recorded. Raises ``JournalError``."""
        try:
            for turn in self._turns:
                yield from map(event_of, _events(turn))
        except (ValueError, TypeError, LookupError) as error:
            raise JournalError(f"{self._path} is damaged, and left as it is: {error}") from error

    def source(self) -> bytes:
        """Return the job file as it was at the start of the newest session."""
        with closing(sqlite3.connect(f"file:{_uri(self._path)}?mode=ro", uri=True)) as db:
            row = db.execute("SELECT source FROM sessions WHERE number = ?", (self.session,))
            source: bytes = row.fetchone()[0]
        return source


def _newest(db: sqlite3.Connection) -> tuple[int, dict[str, Any]]:
    """Return the number and the meta of the newest session."""
    row = db.execute(_NEWEST).fetchone()
    if row is None:
        raise ValueError("it holds no session")
    return row[0], jsonio.loads(row[1])


def headline(folder: str | os.PathLike[str]) -> tuple[dict[str, Any], Finished | None]:
    """Return a run's meta and how it finished, if it did, without reading all of it.

    Raises ``JournalError``.
    """
    path = os.path.join(folder, FILE)
    _refuse_unreadable(path)
    try:
        with closing(sqlite3.connect(f"file:{_uri(path)}?mode=ro", uri=True)) as db:
            _, meta = _newest(db)
            first = db.execute("SELECT meta FROM sessions ORDER BY number LIMIT 1").fetchone()[0]
            row = db.execute(_SELECT + " DESC LIMIT 1").fetchone()
        meta["started_at"] = jsonio.loads(first)["started_at"]
        event = event_of(_events(row[0])[-1]) if row is not None else None
    except (sqlite3.Error, ValueError, TypeError, LookupError, OSError) as error:
        raise JournalError(f"{path} cannot be read: {error}") from error
    return meta, event if isinstance(event, Finished) else None


def _refuse_unreadable(path: str) -> None:
    """Raise ``JournalError`` where there is no file at *path*, or none that may be read.

    SQLite would not say which. The file is not opened for it: that it is closed would take from a
    run in this process the locks that SQLite has on it.
    """
    reason = "permission denied"
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise JournalError(f"no journal in {os.path.dirname(path)}")
        if os.access(path, os.R_OK):
            return
    except (FileNotFoundError, NotADirectoryError):
        raise JournalError(f"no journal in {os.path.dirname(path)}") from None
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
    raise JournalError(f"{path} cannot be read: {reason}")


def _uri(path: str) -> str:
    from urllib.parse import quote  # noqa: PLC0415 - for reading only

    return quote(os.path.abspath(path))


# An attempt that succeeded without an output, on a thread: the common one has nothing to say.
_PLAIN_END = (None, None, "null", None, False, False, False, False, None)
_NOTHING_MORE = (None,) * 8
_PLAIN_LENGTH = 5  # its fields, and its cost
_LAST = len(Ended._fields) - 1
_FEW = 100  # events with more to say that are written without a library for it


def _data(event: Recorded) -> tuple[Any, ...]:
    """Return *event* as JSON data: its kind, then its fields in order."""
    if event.__class__ is not Ended:
        return (KINDS[event.__class__], *event)
    error = tuple(event.error) if event.error is not None else None
    cost = _cost_data(event.cost) if event.cost is not None else None
    return ("ended", *event[:7], error, *event[8:-1], cost)


def _cost_data(cost: Cost) -> list[Any]:
    """Return *cost* as JSON data, to the microsecond; what is not known at its end is left out."""
    values: list[Any] = [round(value, 6) if isinstance(value, float) else value for value in cost]
    while values[-1] is None:
        values.pop()
    return values


def _cost_text(cost: Cost) -> str:
    """Return the same as JSON text; that of a function that takes no time is the common one."""
    if cost[3:] == _NOTHING_MORE and None not in cost[:3]:
        return "[%.6f,%.6f,%.6f]" % cost[:3]  # type: ignore[str-format] # noqa: UP031 - fast
    return jsonio.encoded(_cost_data(cost))


def _events(text: str) -> list[Any]:
    import orjson  # noqa: PLC0415 - for reading only

    try:
        found: list[Any] = orjson.loads(text)
    except ValueError:  # again: orjson has no half characters
        found = jsonio.loads(text)
    return found


def event_of(data: Sequence[Any]) -> Recorded:
    """Return the event that *data* is."""
    kind, *fields = data
    if kind == "ended":
        if len(fields) <= _PLAIN_LENGTH:
            fields[4:] = [*_PLAIN_END, fields[4] if len(fields) == _PLAIN_LENGTH else None]
        elif fields[7] is not None:
            fields[7] = Failure(*fields[7])
        if len(fields) > _LAST and fields[_LAST] is not None:
            fields[_LAST] = Cost(*fields[_LAST])
    event: Recorded = RECORDED[kind](*fields)
    return event
