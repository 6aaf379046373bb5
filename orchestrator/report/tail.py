"""What tasks write, on stderr: live, line by line, or the end of it when they failed."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from orchestrator.events import Ended, Started
from orchestrator.spec.words import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.events import Asked, Noted, Recorded
    from orchestrator.running import Run

    Mask = Callable[[str], str]

LAST_LINES = 20
_CHUNK_BYTES = 64 * 1024
_MAX_LINE = 4000


def clean_line(data: bytes, mask: Mask | None = None) -> str:
    """Return a line of a task's output as it may stand on a terminal, without secrets."""
    text = data.rstrip(b"\r\n").decode("utf-8", "backslashreplace")
    if mask is not None:
        text = mask(text)
    text = text.rpartition("\r")[2]  # of a progress bar, what stood there last
    if len(text) > _MAX_LINE:
        text = text[:_MAX_LINE] + "…"
    return printable(text.expandtabs())


def last_lines(path: str | Path, count: int = LAST_LINES, mask: Mask | None = None) -> list[str]:
    """Return the last *count* lines of the file at *path*; none where there is no such file."""
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _CHUNK_BYTES))
            lines = file.read().splitlines()
    except OSError:
        return []
    return [clean_line(line, mask) for line in lines[-count:]]


@dataclass(slots=True)
class _File:
    """A file that is followed, from *offset* on; *partial* is of a line that has not ended."""

    label: str
    kind: str
    offset: int = 0
    partial: bytes = b""


class Follower:
    """Reads what is appended to files, whole lines at a time.

    Of a line not much more than the first 64 KiB are kept; with *pieces* a longer one comes in
    pieces instead, byte for byte.
    """

    def __init__(self, emit: Callable[[str, str, bytes], None], *, pieces: bool = False) -> None:
        """*emit* gets a label, ``out`` or ``err``, and a line with its newline, if it has one."""
        self._emit, self._pieces = emit, pieces
        self._files: dict[Path, _File] = {}

    def add(self, path: Path, label: str, kind: str) -> None:
        """Follow the file at *path*, from its beginning, also if it is not there yet."""
        self._files.setdefault(path, _File(label, kind))

    def paths(self) -> list[Path]:
        """Return what is followed."""
        return list(self._files)

    def poll(self) -> bool:
        """Read what is new; tell whether anything was."""
        found = [self._poll(path) for path in list(self._files)]
        return any(found)

    def finish(self, path: Path) -> None:
        """Read what is left of the file at *path*, its last line too, and let it go."""
        if path in self._files:
            self._poll(path)
            file = self._files.pop(path)
            if file.partial:
                self._show(file, b"")

    def _poll(self, path: Path) -> bool:
        file = self._files[path]
        begin = file.offset
        try:
            with path.open("rb") as stream:
                stream.seek(begin)
                while data := stream.read(_CHUNK_BYTES):
                    file.offset += len(data)
                    self._take(file, data)
        except OSError:
            pass  # it is not there yet
        return file.offset > begin

    def _take(self, file: _File, data: bytes) -> None:
        for piece in data.splitlines(keepends=True):
            if piece.endswith(b"\n"):
                self._show(file, piece)
            elif len(file.partial) < _CHUNK_BYTES:
                file.partial += piece
            elif self._pieces:
                self._show(file, piece)

    def _show(self, file: _File, rest: bytes) -> None:
        line, file.partial = file.partial + rest, b""
        self._emit(file.label, file.kind, line)


class LiveOutput:
    """Writes every line of every task, with the task's name (``--task-output live``)."""

    tick_s: float | None = 0.1

    def __init__(self, run: Run, show: Callable[[list[tuple[str, str, str]]], None]) -> None:
        """*show* gets lines: task, ``out`` or ``err``, text that may stand on a terminal."""
        self._folder, self._show, self._mask = Path(run.path), show, run.mask
        self._lines: list[tuple[str, str, str]] = []
        self._follower = Follower(self._take)

    def _take(self, label: str, kind: str, line: bytes) -> None:
        self._lines.append((label, kind, clean_line(line, self._mask)))

    def told(self, events: Sequence[Recorded | Noted | Asked]) -> None:
        """Follow what starts; read what is left of what ended."""
        for event in events:
            if isinstance(event, Started | Ended) and event.attempt:
                for kind in ("out", "err"):
                    path = self._folder / f"{event.task}.{event.attempt}.{kind}"
                    if isinstance(event, Started):
                        self._follower.add(path, event.task, kind)
                    else:
                        self._follower.finish(path)
        self._flush()

    def tick(self) -> None:
        """Read what is new."""
        self._follower.poll()
        self._flush()

    def _flush(self) -> None:
        if self._lines:
            lines, self._lines = self._lines, []
            self._show(lines)
