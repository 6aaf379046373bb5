"""What all threads of a process share, and a task may change for the others without meaning to.

Looked at after each attempt on a thread: working directory, ``os.environ``, locale and
``sys.stdin``, ``stdout`` and ``stderr``. Interpreters share the first three of these: after an
attempt in one the locale is looked at here, and the directory where the thread has none of its own;
to its environment it sees itself. Not looked at: signal handlers, which Python sets in the main
thread only, where no task runs; the umask, which cannot be read without being set; what C code sets
in the environment past ``os.environ``.
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
    from collections.abc import Callable, Iterator, Mapping
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
        self.under_way: list[Callable[[object], bool]] = []
        """Each tells of a runner whether an attempt of its runs but for the one that is given."""

    def warning(self, work: object, changes: list[Change]) -> dict[str, Any]:
        """Return what to log of *changes*, which were found after *work*.

        What ran at the same time may have made them; then nobody is accused.
        """
        beside = any(runs_beside(work) for runs_beside in self.under_way)
        return warning(changes, beside=beside)

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

    def put_back_outside(self, *, own_folder: bool) -> list[Change]:
        """Do so after an attempt in an interpreter, which shares less with the others."""
        if _runs[-1:] != [self._run]:
            return []
        with self._lock:
            found = [self._locale_back()]
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
        return of_environment(changed)

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


def of_environment(names: list[str]) -> Change:
    """Return the change of these environment variables, which are put back."""
    shown = ", ".join(names[:_MAX_NAMES])
    if len(names) > _MAX_NAMES:
        shown += f" and {len(names) - _MAX_NAMES} more"
    return Change(f"environment ({shown})", put_back=True)


def warning(changes: list[Change], *, beside: bool) -> dict[str, Any]:
    """Return what to log of *changes*; *beside*: others may have made them."""
    event = (
        "what all threads share changed while the task ran, beside other tasks inside orch"
        if beside
        else "task changed what all threads share"
    )
    data = {"level": "warning", "event": event}
    for name, put_back in (("put_back", True), ("not_put_back", False)):
        if texts := ", ".join(what for what, done in changes if done is put_back):
            data[name] = texts
    data["hint"] = "mode: process"
    return data


def _working_directory() -> str:
    """Return the working directory; nothing where it was removed."""
    try:
        return os.getcwd()
    except OSError:
        return ""
