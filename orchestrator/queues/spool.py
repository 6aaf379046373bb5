"""Lines kept on disk: what a program has taken and may have to be given again; dead letters."""

import os
import tempfile
from collections.abc import Iterable, Iterator

FILE_MODE = 0o600


class Spool:
    """Lines in a file without a name: gone with the process, however that ends."""

    def __init__(self, folder: str) -> None:
        """Make the file in *folder*. Raises ``OSError``."""
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by `close`
        self.count = 0

    def add(self, lines: Iterable[bytes]) -> None:
        """Append *lines*. Raises ``OSError``."""
        for line in lines:
            self._file.write(line + b"\n")
            self.count += 1

    def lines(self) -> Iterator[bytes]:
        """Yield the lines, the first one first; each reader has a place of its own."""
        self._file.flush()
        with os.fdopen(os.open(f"/proc/self/fd/{self._file.fileno()}", os.O_RDONLY), "rb") as file:
            for line in file:
                yield line[:-1]

    def close(self) -> None:
        """Give the space back, once nobody reads it any more."""
        self._file.close()


def set_aside(path: str, lines: Iterable[bytes]) -> None:
    """Append *lines* to the dead letters at *path*. Raises ``OSError``."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
    with open(descriptor, "ab") as file:
        file.writelines(line + b"\n" for line in lines)
