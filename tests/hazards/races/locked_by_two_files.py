# tasks: first=first, second=second
import fcntl
import json
from pathlib import Path

BOOK = Path("book.json")


def add(entry, lock):
    with open(lock, "w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        entries = json.loads(BOOK.read_text())
        entries.append(entry)
        BOOK.write_text(json.dumps(entries))  # here


def first():
    add("one", "first.lock")


def second():
    add("two", "second.lock")
