"""The server: imports once what many programs import, forks for each, and runs it as ``__main__``.

Run as a file, by the Python of the tasks, which may know nothing of orch. Everything goes through
one socket, a request and an answer at a time; descriptors come with the request. It has one thread
and reaps a child only when it is told to: until then nobody else can get that child's id.
"""

from __future__ import annotations

import sys

if __name__ == "__main__":
    del sys.path[0]  # where this file is, and others of names that Python has, too

import atexit
import fcntl
import gc
import io
import json
import os
import signal
import socket
import time
import types
from importlib.machinery import SourceFileLoader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

MOST_BYTES = 65536
_MOST_FDS = 64
_HIGH = 200  # above the numbers that a child is to find its descriptors under
_HERE = __file__
_GO = b"g"
_LAST = 2  # of the standard streams
_FORKED_SAFELY = ("numpy",)  # whose own threads are made anew after a fork


def main() -> None:
    """Import what is asked for, say so, and serve until nobody holds the other end of stdin."""
    link = socket.socket(fileno=os.dup(0))
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.close(null)
    wanted = json.loads(link.recv(MOST_BYTES))
    _close_others(link.fileno())
    base = [p for p in sys.path if p not in _entries(os.environ.get("PYTHONPATH"))]
    server = _Server(
        link, base, [(s.encoding, s.errors) for s in (sys.stdin, sys.stdout, sys.stderr)]
    )
    try:
        server.preload(**wanted)
    except BaseException as error:  # whatever a module raises
        _answer(link, {"failed": f"{type(error).__name__}: {error}"[:2000]})
        return
    _answer(link, {"ready": os.getpid()})
    server.serve()


def _answer(link: socket.socket, value: dict[str, Any]) -> None:
    link.send(json.dumps(value).encode())


def _close_others(kept: int) -> None:
    for name in os.listdir("/proc/self/fd"):
        if int(name) > _LAST and int(name) != kept:
            try:
                os.close(int(name))
            except OSError:
                pass  # that of the directory


def _entries(text: str | None) -> list[str]:
    return [os.path.abspath(part) for part in text.split(os.pathsep)] if text else []


class _Server:
    """Answers requests. *base* is ``sys.path`` without what a program or its environment adds."""

    def __init__(
        self, link: socket.socket, base: list[str], texts: list[tuple[str, str | None]]
    ) -> None:
        self.link, self.base, self.texts = link, base, texts
        self.area = _find_environment()
        self.child: socket.socket | None = None  # it waits until it is known of
        self.environ: dict[str, str] = {}
        self.call: Callable[[int], int] | None = None

    def preload(self, modules: list[str], root: str, package: str | None) -> None:
        """Import *modules*, from *root* too; with *package* what calls functions for orch."""
        before = sys.path[:]
        if package is not None:
            sys.path.insert(0, package)
            from orchestrator.runners import child

            child.functions_of(None)
            self.call = child.main
            del sys.path[0]
        at = next((i for i, p in enumerate(sys.path) if "site-packages" in p), len(sys.path))
        sys.path.insert(at, root)
        for name in modules:
            __import__(name)
        sys.path[:] = before
        self._refuse_threads()
        _settle_signals()
        self.environ = dict(os.environ)
        compile("", "", "exec")  # Python's own types for code are made once, here
        gc.collect()
        gc.freeze()  # a collection in a child would copy all of it

    def _refuse_threads(self) -> None:
        threads = len(os.listdir("/proc/self/task"))
        threading = sys.modules.get("threading")
        if threading is not None and threading.active_count() > 1:
            raise RuntimeError("what was imported has started threads, which no fork survives")
        if threads > 1 and not any(name in sys.modules for name in _FORKED_SAFELY):
            raise RuntimeError("what was imported has started native threads")

    def serve(self) -> NoReturn:
        """Answer requests until there are no more."""
        while True:
            data, given, _, _ = socket.recv_fds(self.link, MOST_BYTES, _MOST_FDS)
            if not data:
                os._exit(0)
            try:
                answer = self._answer(json.loads(data), given)
            except OSError as error:
                answer = {"errno": error.errno, "error": error.strerror, "file": error.filename}
            for number in given:
                os.close(number)
            _answer(self.link, answer)
            if self.child is not None:  # orch knows of it: nobody starts it a second time
                try:
                    self.child.send(_GO)
                except OSError:
                    pass  # it has ended by now
                self.child.close()
                self.child = None

    def _answer(self, request: dict[str, Any], given: list[int]) -> dict[str, Any]:
        if "look" in request:
            ways = os.WEXITED | os.WNOWAIT | os.WNOHANG
            return {"ended": os.waitid(os.P_PID, request["look"], ways) is not None}
        if "reap" in request:
            _, status, used = os.wait4(request["reap"], 0)
            cpu_s = used.ru_utime + used.ru_stime
            usage = [cpu_s, used.ru_maxrss, used.ru_nvcsw, used.ru_nivcsw]
            return {"status": status, "usage": usage}
        start = json.loads(os.pread(given[0], request["start"], 0))
        ours, theirs = socket.socketpair()
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            ours.close()
            _Child(self, start, given[1:], theirs).run()
        theirs.close()
        wrong = ours.recv(MOST_BYTES)  # its end: it has a session of its own, and the directory
        if not wrong:
            self.child = ours
        else:
            ours.close()
            os.wait4(pid, 0)
            failed: dict[str, Any] = json.loads(wrong)
            return failed
        return {"pid": pid}


class _Child:
    """One program, in a process of its own, as if it had been started by itself."""

    def __init__(
        self, server: _Server, start: dict[str, Any], given: list[int], link: socket.socket
    ) -> None:
        self.server, self.start, self.given, self.link = server, start, given, link.detach()

    def run(self) -> NoReturn:
        """Never return."""
        code = 1
        try:
            self._begin()
            code = _run(self._body)
        except BaseException as error:  # in what this file does itself
            _say_uncaught(error)
        finally:
            _leave(code)

    def _begin(self) -> None:
        start = self.start
        os.setsid()
        try:
            os.chdir(start["cwd"])
        except OSError as error:
            wrong = {"errno": error.errno, "error": error.strerror, "file": start["cwd"]}
            os.write(self.link, json.dumps(wrong).encode())
            os._exit(0)
        with socket.socket(fileno=os.dup(self.link)) as link:
            link.shutdown(socket.SHUT_WR)  # the server waits for that, and what asks it
        self._take_descriptors()
        environ = start["env"]
        _set_environment(self.server.environ, environ)
        _show_environment(environ, *self.server.area)
        self.server.link.detach()
        self._streams(unbuffered=bool(environ.get("PYTHONUNBUFFERED")))
        random = sys.modules.get("numpy.random")
        if random is not None:
            random.seed()  # that of ``random`` is seeded by Python itself
        sys.argv = list(start["argv"])
        sys.orig_argv = [sys.executable, *start["argv"]]

    def _take_descriptors(self) -> None:
        """Put what was given under its numbers: the standard streams, and what is passed on."""
        numbers = [0, 1, 2, *self.start["pass"]]
        most = os.sysconf("SC_OPEN_MAX") - len(self.given) - 2
        high = max([min(_HIGH, most), *numbers]) + 1
        self.link = fcntl.fcntl(self.link, fcntl.F_DUPFD_CLOEXEC, high)
        held = [fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, high) for number in self.given]
        os.closerange(3, high)
        for number, wanted in zip(held, numbers):
            os.dup2(number, wanted)
            os.close(number)

    def _streams(self, *, unbuffered: bool) -> None:
        for number, name in enumerate(("stdin", "stdout", "stderr")):
            writes = number > 0
            inner = io.FileIO(number, "wb" if writes else "rb", closefd=False)
            setattr(inner, "name", f"<{name}>")  # noqa: B010 - checkers take it for read-only
            raw: Any = inner
            if not writes:
                raw = io.BufferedReader(inner)
            elif not unbuffered:
                raw = io.BufferedWriter(inner)
            encoding, errors = self.server.texts[number]
            text = io.TextIOWrapper(
                raw, encoding, errors, newline="\n",
                line_buffering=not unbuffered and (number == _LAST or raw.isatty()),
                write_through=unbuffered,
            )  # fmt: skip
            setattr(text, "mode", "w" if writes else "r")  # noqa: B010
            setattr(sys, name, text)
            setattr(sys, f"__{name}__", text)

    def _body(self) -> object:
        start = self.start
        known = os.read(self.link, 1)
        os.close(self.link)
        if known != _GO:  # the server has ended, and orch does not know of this child
            os.kill(os.getpid(), signal.SIGKILL)
        path = [*_entries(os.environ.get("PYTHONPATH")), *self.server.base]
        if start["kind"] == "function":
            sys.path[:] = path
            assert self.server.call is not None
            return self.server.call(int(start["argv"][-1]))
        main = types.ModuleType("__main__")
        main.__dict__.update(__builtins__=__builtins__)
        if sys.version_info < (3, 14):
            main.__annotations__ = {}
        sys.modules["__main__"] = main
        if start["kind"] == "module":
            import runpy

            sys.path[:] = [os.getcwd(), *path]
            sys.argv[0] = "-m"
            as_main: Any = getattr(runpy, "_run_module_as_main")  # noqa: B009 - as `python -m` does
            return as_main(start["target"])
        return self._program(start["target"], main, path)

    @staticmethod
    def _program(target: str, main: types.ModuleType, path: list[str]) -> int:
        sys.path[:] = [os.path.dirname(os.path.realpath(target)), *path]
        try:
            with io.open_code(target) as file:
                source = file.read()
        except OSError as error:
            said = f"[Errno {error.errno}] {error.strerror}"
            sys.stderr.write(f"{sys.executable}: can't open file {target!r}: {said}\n")
            return 2
        main.__dict__.update(
            __file__=target, __cached__=None, __loader__=SourceFileLoader("__main__", target)
        )
        exec(compile(source, target, "exec", dont_inherit=True), main.__dict__)
        return 0


def _run(body: Callable[[], object]) -> int:
    """Return the exit status that Python ends with after *body*; what it raised is told."""
    try:
        code = body()
    except SystemExit as leaving:
        return _code_of(leaving)
    except KeyboardInterrupt as error:
        _say_uncaught(error)
        return -signal.SIGINT
    except BaseException as error:
        _say_uncaught(error)
        return 1
    return code if isinstance(code, int) else 0


def _code_of(leaving: SystemExit) -> int:
    code = leaving.code
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    _flush(sys.stdout)
    try:
        sys.stderr.write(f"{code}\n")
    except (OSError, ValueError, AttributeError):
        pass
    return 1


def _say_uncaught(error: BaseException) -> None:
    """Let the program's hook tell of *error*, without the frames of this file."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename == _HERE:
        frames = frames.tb_next
    try:
        sys.excepthook(type(error), error.with_traceback(frames), frames)
    except BaseException:
        sys.__excepthook__(type(error), error, frames)


def _leave(code: int) -> NoReturn:
    """Do what Python does at its end, but for taking itself apart, and end."""
    threading = sys.modules.get("threading")
    try:
        if threading is not None:
            threading._shutdown()
    except BaseException as error:
        _say_uncaught(error)
    atexit._run_exitfuncs()
    _let_go()
    if not _flush(sys.stdout) and code == 0:
        code = 120
    _flush(sys.stderr)
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code & 0xFF)


def _let_go() -> None:
    """Let go what the program holds: its objects end, and its files are written out."""
    main = sys.modules.get("__main__")
    if main is not None and getattr(main, "__file__", None) != _HERE:
        for name in [name for name in main.__dict__ if not name.startswith("__")]:
            main.__dict__.pop(name, None)
    gc.collect()
    for found in gc.get_objects():  # those that other modules hold
        if isinstance(found, (io.BufferedWriter, io.BufferedRandom, io.TextIOWrapper)):
            _flush(found)


def _flush(stream: Any) -> bool:
    try:
        if stream is not None and not stream.closed:
            stream.flush()
    except (OSError, ValueError, AttributeError):
        return False
    return True


def _settle_signals() -> None:
    """Have for all children what a Python has that was started by itself."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _set_environment(now: dict[str, str], environ: dict[str, str]) -> None:
    """Let the environment be *environ*, where it is *now*; what is so already is left alone."""
    for name in now.keys() - environ.keys():
        del os.environ[name]
    for name, value in environ.items():
        if now.get(name) != value:
            os.environ[name] = value
    if now.get("TZ") != environ.get("TZ") and hasattr(time, "tzset"):
        time.tzset()


def _show_environment(environ: dict[str, str], begin: int, end: int) -> None:
    """Let others see the program's own mark in ``/proc``: what was there are the server's."""
    names = ("ORCH_RUN_ID", "ORCH_TASK", "ORCH_ATTEMPT", "ORCH_PARENT_RUN_IDS")
    text = b"".join(
        os.fsencode(f"{name}={environ[name]}") + b"\0" for name in names if name in environ
    )
    try:
        memory = os.open("/proc/self/mem", os.O_WRONLY)
        os.pwrite(memory, (text + b"\0" * (end - begin))[: end - begin], begin)
        os.close(memory)
    except OSError:
        pass


def _find_environment() -> tuple[int, int]:
    """Return where in memory the environment stands that a process began with, and its children."""
    try:
        with open("/proc/self/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        return int(fields[47]), int(fields[48])
    except (OSError, ValueError, IndexError):
        return 0, 0


if __name__ == "__main__":
    main()
