"""A working directory for one thread alone: Linux lets a thread have its own."""

from __future__ import annotations

import ctypes
import os
import threading

_CLONE_FS = 0x200


class FolderError(Exception):
    """The thread cannot have the directory, or none of its own."""


def enter_own_folder(folder: str) -> None:
    """Give the calling thread a working directory of its own and go to *folder*.

    Affects only this thread from now on, for as long as it lives (``unshare(CLONE_FS)``).
    Raises ``FolderError``.
    """
    try:
        unshare_folder()
    except OSError as error:
        raise FolderError(f"this system gives a thread no directory of its own: {error}") from None
    try:
        os.chdir(folder)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise FolderError(f"the working directory {folder}: {reason}") from None


def unshare_folder() -> None:
    """Part the calling thread's directory, root and umask from the others'. Raises ``OSError``."""
    if hasattr(os, "unshare"):
        os.unshare(_CLONE_FS)
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "unshare"):
        raise OSError(0, "no unshare")
    if libc.unshare(_CLONE_FS) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def threads_have_folders() -> bool:
    """Probe whether a thread can have a working directory of its own here."""
    found: list[bool] = []

    def probe() -> None:
        try:
            unshare_folder()
        except OSError:
            return
        found.append(True)

    thread = threading.Thread(target=probe)
    thread.start()
    thread.join()
    return bool(found)
