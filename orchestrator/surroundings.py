"""What all threads of a process share, and a task may change for the others without meaning to.

Looked at after each attempt on a thread: working directory, ``os.environ``, locale and
``sys.stdin``, ``stdout`` and ``stderr``. Not looked at: signal handlers, which Python sets in the
main thread only, where no task runs; the umask, which cannot be read without being set; what C code
sets in the environment past ``os.environ``.
"""

from __future__ import annotations

import os
import sys
import threading
from contextlib import contextmanager

from orchestrator.lean import locale
from orchestrator.records import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

_MAX_NAMES = 8
_STREAMS = ("stdin", "stdout", "stderr")
_runs: list[object] = []  # those under way in this process, the innermost last


class Change(NamedTuple):
    """What was found changed, for people; values are never told: they may be secrets."""

    what: str
    put_back: bool


@contextmanager
def of_a_run() -> Iterator[None]:
    """Say that a run sets the surroundings from here on; those around it do not look meanwhile.

    A task may call ``run_job``: what the run inside has set is not a mistake of that task.
    """
    mark = object()
    _runs.append(mark)
    try:
        yield
    finally:
        _runs.remove(mark)


class Surroundings:
    """The surroundings as they were when this was made, in a run; outside of one, not looked at."""

    def __init__(self) -> None:
        self._run = _runs[-1] if _runs else None
        self._folder = os.getcwd()
        self._folder_stat = os.stat(".")
        self._environ = os.environ
        # to compare the bytes inside costs a twentieth of decoding them
        self._live: Mapping[Any, Any] = vars(os.environ).get("_data", os.environ)
        self._values = dict(self._live)
        self._locale = locale.setlocale(locale.LC_ALL, None)
        self._streams = (sys.stdin, sys.stdout, sys.stderr)
        self._lock = threading.Lock()

    def are_kept(self, *, own_folder: bool) -> bool:
        """Tell whether all is as it was; takes about two microseconds.

        With *own_folder* the calling thread has a working directory of its own.
        """
        if _runs[-1:] != [self._run]:
            return True  # a run inside this one has the word, or this one is over
        try:
            return (
                self._live == self._values
                and os.environ is self._environ
                and (sys.stdin, sys.stdout, sys.stderr) == self._streams
                and locale.setlocale(locale.LC_ALL, None) == self._locale
                and (own_folder or _working_directory() == self._folder)
            )
        except AttributeError:  # `del sys.stdout`
            return False

    def put_back(self, *, own_folder: bool) -> list[Change]:
        """Put back what is not as it was, and return what that is.

        What cannot be put back is told once and then taken as it is.
        """
        with self._lock:  # two attempts that end together do not both find it
            if self.are_kept(own_folder=own_folder):
                return []
            found = [self._environment(), self._standard_streams(), self._locale_back()]
            if not own_folder:
                found.append(self._folder_back())
        return [change for change in found if change is not None]

    def _environment(self) -> Change | None:
        replaced = os.environ is not self._environ
        os.environ = self._environ  # noqa: B003 - put back, not replaced
        now, before = dict(self._live), self._values
        changed = sorted(
            os.fsdecode(name)
            for name in now.keys() | before.keys()
            if now.get(name) != before.get(name)
        )
        for name in changed:
            value = before.get(os.fsencode(name), before.get(name))
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = os.fsdecode(value)
        if not changed:
            return Change("os.environ", put_back=True) if replaced else None
        shown = ", ".join(changed[:_MAX_NAMES])
        if len(changed) > _MAX_NAMES:
            shown += f" and {len(changed) - _MAX_NAMES} more"
        return Change(f"environment ({shown})", put_back=True)

    def _standard_streams(self) -> Change | None:
        changed = []
        for name, before in zip(_STREAMS, self._streams, strict=True):
            if getattr(sys, name, None) is not before:
                setattr(sys, name, before)
                changed.append(f"sys.{name}")
        return Change(", ".join(changed), put_back=True) if changed else None

    def _locale_back(self) -> Change | None:
        now = locale.setlocale(locale.LC_ALL, None)
        if now == self._locale:
            return None
        try:
            locale.setlocale(locale.LC_ALL, self._locale)
        except locale.Error:
            self._locale = now
            return Change("locale", put_back=False)
        return Change("locale", put_back=True)

    def _folder_back(self) -> Change | None:
        now = _working_directory()
        if now == self._folder:
            return None
        if now and os.path.samestat(os.stat("."), self._folder_stat):
            self._folder = now  # it was renamed: nobody left it
            return None
        try:
            os.chdir(self._folder)
        except OSError:
            self._folder = now
            return Change("working directory", put_back=False)
        return Change("working directory", put_back=True)


def _working_directory() -> str:
    """Return the working directory; nothing where it was removed."""
    try:
        return os.getcwd()
    except OSError:
        return ""
