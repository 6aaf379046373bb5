"""Lines kept on disk: to be given again to the next attempt, or in the next session of the run."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from contextlib import suppress
from itertools import islice
from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

FILE_MODE = 0o600
_CHUNK = 65536
_LINES_AT_ONCE = 1000  # of what may be all that a program was given


class Spool:
    """Lines in a file without a name: gone with the process, however that ends."""

    def __init__(self, folder: str) -> None:
        """Make the file in *folder*. Raises ``OSError``."""
        self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 - goes with it
        self._size = 0
        self.count = 0

    def add(self, lines: Sequence[bytes]) -> None:
        """Append *lines*, all or none of them. Raises ``OSError``."""
        data = memoryview(b"\n".join([*lines, b""]))
        size = self._size
        while data:
            written = os.pwrite(self._file.fileno(), data, size)
            data, size = data[written:], size + written
        self._size = size
        self.count += len(lines)

    def close(self) -> None:
        """Give the file back, with all that is in it."""
        self._file.close()

    def lines(self) -> Iterator[bytes]:
        """Yield the lines, the first one first; each reader has a place of its own."""
        place, rest = 0, b""
        while place < self._size:
            data = os.pread(self._file.fileno(), min(_CHUNK, self._size - place), place)
            place += len(data)
            *whole, rest = (rest + data).split(b"\n")
            yield from whole


def set_aside(path: str, lines: Iterable[bytes]) -> None:
    """Append *lines* to the dead letters at *path*. Raises ``OSError``."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
    with open(descriptor, "ab") as file:
        file.writelines(line + b"\n" for line in lines)


# The record of a queue that delivers again: what was published, what is done, one after the other.
_PUBLISHED, _DONE = b"+", b"-"


def record_path(folder: str, queue: str) -> str:
    """Return the file with the record of *queue*, in the directory of a run."""
    return f"{folder}/{queue}.items"


class ItemRecord:
    """What was published to a queue and what is done, on disk before anything else knows of it.

    Where it cannot be written it is removed: then the pipeline is resumed as a whole.
    """

    def __init__(self, path: str, *, goes_on: bool) -> None:
        """Begin it, or go on with the one that an earlier session of the run has left."""
        self._path = path
        self._descriptor = -1
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        with suppress(OSError):
            self._descriptor = os.open(path, flags if goes_on else flags | os.O_TRUNC, FILE_MODE)
        self._size = self._cut_to_whole_lines() if self._descriptor >= 0 else 0

    def _cut_to_whole_lines(self) -> int:
        """Remove the beginning of a line that orch was killed at; return the size."""
        size = place = os.fstat(self._descriptor).st_size
        while place > 0:
            start = max(0, place - _CHUNK)
            found = os.pread(self._descriptor, place - start, start).rfind(b"\n")
            if found >= 0:
                place = start + found + 1
                break
            place = start
        if place < size:
            os.ftruncate(self._descriptor, place)
        return place

    def published(self, lines: Iterable[bytes]) -> None:
        """Take note of *lines*, which will be delivered."""
        self._add(_PUBLISHED, lines)

    def done(self, lines: Iterable[bytes]) -> None:
        """Take note that *lines* need not be delivered any more."""
        self._add(_DONE, lines)

    def _add(self, mark: bytes, lines: Iterable[bytes]) -> None:
        left = iter(lines)
        try:
            while self._descriptor >= 0 and (some := list(islice(left, _LINES_AT_ONCE))):
                data = memoryview(b"".join(mark + line + b"\n" for line in some))
                while data:
                    data = data[os.write(self._descriptor, data) :]
        except OSError:
            self.remove()

    def remove(self) -> None:
        """Remove it: nothing can be resumed from it."""
        self.close()
        with suppress(OSError):
            os.unlink(self._path)

    def undelivered(self) -> tuple[Iterator[bytes], int]:
        """Return what was published before it was opened and is not done, and how many that are."""
        if self._descriptor < 0 or not self._size:
            return iter(()), 0
        done = Counter(hash(line) for mark, line in self._lines() if mark == _DONE)
        published = sum(1 for mark, _ in self._lines() if mark == _PUBLISHED)
        return self._left(done), published - done.total()

    def _left(self, done: Counter[int]) -> Iterator[bytes]:
        for mark, line in self._lines():
            if mark == _PUBLISHED:
                if done[hash(line)] > 0:
                    done[hash(line)] -= 1
                else:
                    yield line

    def _lines(self) -> Iterator[tuple[bytes, bytes]]:
        read = 0
        with Path(self._path).open("rb") as file:
            for line in file:
                read += len(line)
                if read > self._size:
                    return
                yield line[:1], line[1:-1]

    def close(self) -> None:
        """Write no more to it."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)
