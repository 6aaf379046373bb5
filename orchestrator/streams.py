"""Each thread task's print, logging and warnings reach its own files and nobody else's.

``sys.stdout`` and ``sys.stderr`` become streams that look up a context variable at each write. A
task's own threads are covered because ``Thread.start`` copies the context. Files are made at the
first byte. What C code writes to descriptor 1 cannot be told apart: it is the run's.
"""

from __future__ import annotations

import io
import os
import sys
import threading
import warnings
from contextlib import contextmanager
from contextvars import ContextVar, copy_context

from orchestrator.current import attempt_of_context
from orchestrator.meter import meter_of_context
from orchestrator.places import open_again, open_output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from orchestrator.current import Attempt


class OutputFile:
    """A file of one attempt, made at the first byte; whole lines are written at once.

    Writing after ``close`` (a thread that a task left behind) opens it once more for each write.
    """

    __slots__ = ("_closed", "_descriptor", "_lock", "_made", "_partial", "path")

    def __init__(self, path: str) -> None:
        self.path = path
        self._descriptor = -1
        self._made = self._closed = False
        self._partial: list[bytes] = []
        self._lock = threading.Lock()

    def write(self, data: bytes) -> None:
        """Append *data*; what follows its last newline is kept until more comes."""
        with self._lock:
            if self._closed:
                self._put(data)
                self._release()
                return
            end = data.rfind(b"\n") + 1
            if end == 0:
                self._partial.append(data)
                if len(data) < 4096 and len(self._partial) < 64:  # noqa: PLR2004 - a page, roughly
                    return
                end = len(data)
                self._partial.pop()
            self._put(b"".join(self._partial) + data[:end])
            self._partial = [data[end:]] if end < len(data) else []

    def flush(self) -> None:
        """Write what is kept."""
        with self._lock:
            if self._partial:
                self._put(b"".join(self._partial))
                self._partial = []

    def fileno(self) -> int:
        """Return the descriptor, for programs that the task starts itself."""
        with self._lock:
            return self._open()

    def close(self) -> None:
        """Write what is kept and close the file."""
        if self._descriptor < 0 and not self._partial:
            self._closed = True
            return
        self.flush()
        with self._lock:
            self._closed = True
            self._release()

    def _open(self) -> int:
        if self._descriptor < 0:
            if self._made:
                self._descriptor = open_again(self.path)
            else:
                self._descriptor = open_output(self.path)
                self._made = True
        return self._descriptor

    def _put(self, data: bytes) -> None:
        descriptor = self._open()
        while data:
            data = data[os.write(descriptor, data) :]

    def _release(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class Capture:
    """The two files of one attempt; most attempts need neither."""

    __slots__ = ("_err", "_out", "_paths", "warned")

    def __init__(self, stdout: str, stderr: str) -> None:
        self._paths = (stdout, stderr)
        self._out: OutputFile | None = None
        self._err: OutputFile | None = None
        self.warned: set[Any] | None = None  # the warnings that were shown

    @property
    def out(self) -> OutputFile:
        """What its stdout is."""
        if self._out is None:
            return self._make("_out", self._paths[0])
        return self._out

    @property
    def err(self) -> OutputFile:
        """What its stderr is."""
        if self._err is None:
            return self._make("_err", self._paths[1])
        return self._err

    def _make(self, name: str, path: str) -> OutputFile:
        with _making:  # of two threads of one task only one makes its file
            file: OutputFile | None = getattr(self, name)
            if file is None:
                file = OutputFile(path)
                setattr(self, name, file)
            return file

    def close(self) -> None:
        """Close those that were made."""
        for file in (self._out, self._err):
            if file is not None:
                file.close()


_making = threading.Lock()
capture_of_context: ContextVar[Capture | None] = ContextVar("orch_capture", default=None)
# The threads that tasks have started, while they live, and of which attempt they are.
threads_of_tasks: dict[threading.Thread, Attempt | None] = {}


class _Bytes(io.RawIOBase):
    """``sys.stdout.buffer`` of a context-aware stream."""

    def __init__(self, stream: ContextStream) -> None:
        self._stream = stream

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        file = self._stream.file()
        if file is None:
            self._stream.fallback.flush()
            written: int = self._stream.fallback.buffer.write(data)
            return written
        content = bytes(data)
        file.write(content)
        return len(content)

    def flush(self) -> None:
        self._stream.flush()

    def fileno(self) -> int:
        return self._stream.fileno()


class ContextStream(io.TextIOBase):
    """A text stream that writes to the files of the attempt that the caller belongs to."""

    encoding = "utf-8"
    errors = "backslashreplace"

    def __init__(self, fallback: Any, *, is_err: bool) -> None:
        self.fallback = fallback
        self._is_err = is_err
        self.buffer = _Bytes(self)

    def file(self) -> OutputFile | None:
        """Return the file of the attempt that is asking; None outside of one."""
        capture = capture_of_context.get()
        if capture is None:
            return None
        return capture.err if self._is_err else capture.out

    def write(self, text: str) -> int:
        file = self.file()
        if file is None:
            written: int = self.fallback.write(text)
            return written
        file.write(text.encode("utf-8", "backslashreplace"))
        return len(text)

    def flush(self) -> None:
        file = self.file()
        if file is not None:
            file.flush()
        elif not getattr(self.fallback, "closed", False):  # it may outlive what it stands for
            self.fallback.flush()

    def fileno(self) -> int:
        file = self.file()
        number: int = self.fallback.fileno() if file is None else file.fileno()
        return number

    def isatty(self) -> bool:
        return self.file() is None and bool(self.fallback.isatty())

    def writable(self) -> bool:
        return True


def _start_in_context(
    start: Callable[[threading.Thread], None],
) -> Callable[[threading.Thread], None]:
    def start_thread(thread: threading.Thread) -> None:
        if capture_of_context.get() is not None:
            context, run = copy_context(), thread.run

            def run_as_the_tasks() -> None:
                threads_of_tasks[thread] = context.get(attempt_of_context)
                meter = context.get(meter_of_context)
                try:
                    context.run(run)
                finally:
                    if meter is not None:
                        meter.helper_ends()
                    del threads_of_tasks[thread]

            thread.run = run_as_the_tasks  # type: ignore[method-assign]
        start(thread)

    return start_thread


@contextmanager
def installed() -> Iterator[None]:
    """Put the streams in place for as long as a run lasts, and put back what was there.

    Logging handlers that caught the old streams keep them; those made by a task catch these.
    """
    if isinstance(sys.stdout, ContextStream):  # a run within a run: the outer one's streams do
        yield
        return
    out, err, start = sys.stdout, sys.stderr, threading.Thread.start
    sys.stdout = ContextStream(out, is_err=False)
    sys.stderr = ContextStream(err, is_err=True)
    threading.Thread.start = _start_in_context(start)  # type: ignore[method-assign,assignment]
    try:
        with warnings.catch_warnings():
            # Python shows a warning once a place; who has seen it is told apart here, a task each
            warnings.simplefilter("always", append=True)
            warnings.showwarning = _shown_once_a_task(warnings.showwarning)
            yield
    finally:
        sys.stdout, sys.stderr = out, err
        threading.Thread.start = start  # type: ignore[method-assign]


def _shown_once_a_task(show: Callable[..., None]) -> Callable[..., None]:
    others: set[Any] = set()

    def show_once(message: Any, category: Any, filename: str, lineno: int, *rest: Any) -> None:
        capture = capture_of_context.get()
        if capture is not None and capture.warned is None:
            capture.warned = set()
        seen = others if capture is None or capture.warned is None else capture.warned
        key = (str(message), category, filename, lineno)
        if key not in seen:
            seen.add(key)
            show(message, category, filename, lineno, *rest)

    return show_once
