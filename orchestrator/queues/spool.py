"""Lines kept on disk: what a program has taken and may have to be given again; dead letters."""

import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence

FILE_MODE = 0o600
_CHUNK = 65536


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
