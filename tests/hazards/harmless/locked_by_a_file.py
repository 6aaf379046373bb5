# tasks: a=work, b=work
import fcntl
import json
from pathlib import Path

BOOK = Path("book.json")


def work(entry):
    with open("book.lock", "w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        entries = json.loads(BOOK.read_text())
        entries.append(entry)
        BOOK.write_text(json.dumps(entries))
