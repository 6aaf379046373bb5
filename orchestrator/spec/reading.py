"""Reading what a user names: a job file, a file of variables or of parameters."""

from __future__ import annotations

import os
import stat

MAX_BYTES = 16 * 2**20


def read_bytes(path: str) -> bytes:
    """Return the content of the file at *path*.

    Raises ``ValueError``, with a message for the user, where there is none to be had.
    """
    try:
        mode = os.stat(path).st_mode
        if not stat.S_ISREG(mode):
            kind = "a directory" if stat.S_ISDIR(mode) else "not a regular file"
            raise ValueError(f"is {kind}, expected a file")
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise ValueError("no such file") from None
    except OSError as error:
        raise ValueError(f"cannot be read: {(error.strerror or str(error)).lower()}") from None
    if len(data) > MAX_BYTES:
        raise ValueError(f"is larger than {MAX_BYTES >> 20} MiB")
    return data
