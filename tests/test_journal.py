"""The journal: what is recorded comes back, and what is damaged is refused."""

import sqlite3
from contextlib import closing

import pytest

from orchestrator.errors import JournalError
from orchestrator.events import (
    RECORDED,
    Arrived,
    Cancelled,
    Drained,
    Ended,
    Expanded,
    Failure,
    Finished,
    Measured,
    Postponed,
    Resumed,
    Retrying,
    Returned,
    Skipped,
    Started,
    StopAsked,
)
from orchestrator.journal import Journal, Record, TaskRow, headline

EVENTS = [
    Started("a", 1, 0.5),
    Ended("a", 1, "ok", 1.0, output="null"),
    Ended("b", 1, "ok", 1.0, 0, None, '{"x":1}'),
    Ended("c", 2, "failed", 1.5, 3, None, None, Failure("ExitStatus", "exit status 3")),
    Ended("d", 1, "timed_out", 2.0, error=Failure("T", "m", "tb"), final=True, left_running=True),
    Postponed("d", 1, "the system has no more memory (ENOMEM)", 3.0),
    Returned("d", 1, 3.0),
    Retrying("c", 2, 0.25, 1.5),
    Skipped("e", "what it needs failed", True, 1.5),
    Cancelled("f", 1.5),
    Expanded("g", "[1,2]", 2, 1.5),
    Ended("h", 1, "failed", 2.0, unread=True, cut=True, item_failures=3),
    Arrived("i", 0, '{"x":"é"}', 2.0),
    Drained("i", 1, 2.5),
    Measured("q", 2.5, False, 5, 4, 1, 3, 0.5, 0.25, 0.5, 0.25, 2.0, 0, True),
    StopAsked("signal", False, 2.5, 2),
    Resumed(2, ["a", "g.1"], ["a"], 3.0),
    Finished("cancelled", 130, 4.0),
]

META = {"job": "x", "pid": 1, "started_at": "2026-11-22T12:00:00.000Z"}
TASKS = [TaskRow("a", "thread", None, "d1"), TaskRow("g", "process", 2, "d2")]


@pytest.fixture
def journal(tmp_path):
    """Return a journal that has begun."""
    made = Journal(tmp_path)
    made.begin(1, META, b"tasks: {}", TASKS)
    yield made
    made.close()


def test_every_kind_of_event_is_tried_here():
    """A new kind of event is added to this test."""
    assert set(RECORDED.values()) == {event.__class__ for event in EVENTS}


def test_what_is_recorded_comes_back(journal, tmp_path):
    """Events are read as they were written, while the journal is still open."""
    journal.append(EVENTS[:5])
    journal.append(EVENTS[5:])
    record = Record(tmp_path)
    assert list(record.events()) == EVENTS
    assert record.tasks == TASKS
    assert record.source() == b"tasks: {}"
    assert headline(tmp_path) == (META, EVENTS[-1])


def test_sessions_are_added(journal, tmp_path):
    """A later session has its own tasks and file; when the run started is the first one's."""
    journal.append(EVENTS)
    later = {**META, "pid": 2, "started_at": "2026-11-23T12:00:00.000Z"}
    resumed = Resumed(2, ["a"], [], 5.0)
    with closing(Journal(tmp_path)) as again:
        again.begin(2, later, b"new", TASKS[:1], [resumed])
    record = Record(tmp_path, whole=True)
    assert (record.session, record.tasks, record.source()) == (2, TASKS[:1], b"new")
    assert (record.meta["pid"], record.started_at) == (2, META["started_at"])
    assert list(record.events()) == [*EVENTS, resumed]
    assert headline(tmp_path) == ({**later, "started_at": META["started_at"]}, None)


@pytest.mark.promise(4)
def test_a_turn_that_was_changed_is_not_believed(journal, tmp_path):
    """Each row has a checksum: what SQLite takes for whole may be wrong all the same."""
    journal.append(EVENTS)
    journal.close()
    path = tmp_path / "journal.db"
    path.write_bytes(path.read_bytes().replace(b'"d",1,"timed_out"', b'"c",1,"timed_out"'))
    with pytest.raises(JournalError, match="damaged, and left as it is"):
        Record(tmp_path)


@pytest.mark.promise(3)
def test_a_turn_is_recorded_whole_or_not_at_all(journal, tmp_path):
    """A turn that cannot be written leaves nothing of it behind."""
    with pytest.raises(JournalError):
        journal.append([EVENTS[0], Retrying("a", 1, object(), 0.0)])
    journal.append([EVENTS[1]])
    assert list(Record(tmp_path).events()) == [EVENTS[1]]


def test_events_can_be_looked_at_with_sql(journal, tmp_path):
    """A view shows them one by one."""
    journal.append(EVENTS)
    with closing(sqlite3.connect(tmp_path / "journal.db")) as db:
        rows = db.execute(
            "SELECT json_extract(event, '$[1]') FROM events WHERE kind = 'ended'"
        ).fetchall()
    assert rows == [("a",), ("b",), ("c",), ("d",), ("h",)]


def test_odd_text_is_recorded(journal, tmp_path):
    """Half a character is no reason to lose a turn."""
    ended = Ended("a", 1, "ok", 0.0, output='"\ud800"')
    journal.append([ended])
    assert list(Record(tmp_path).events()) == [ended]


@pytest.mark.promise(4)
@pytest.mark.parametrize("damage", [b"", b"not a database at all", b"\0" * 4096])
def test_a_damaged_journal_is_refused_and_left_as_it_was(tmp_path, damage):
    """What cannot be believed is not repaired."""
    (tmp_path / "journal.db").write_bytes(damage)
    with pytest.raises(JournalError):
        Record(tmp_path)
    assert (tmp_path / "journal.db").read_bytes() == damage


@pytest.mark.promise(4)
@pytest.mark.usefixtures("journal")
def test_a_journal_of_another_version_is_refused(tmp_path):
    """A version that this orch does not know is named."""
    with closing(sqlite3.connect(tmp_path / "journal.db")) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(JournalError, match="version 99"):
        Record(tmp_path)
