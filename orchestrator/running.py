"""One run of a plan: its directory, its journal, its runners, its loop; all of it given back."""

import io
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator import __version__, functions, signals, streams
from orchestrator.clock import Clock, wall_text
from orchestrator.engine import Engine, Inbox, Observer
from orchestrator.errors import JournalError
from orchestrator.events import Broken, Finished, Noted
from orchestrator.journal import Journal
from orchestrator.loading import Loaded, collector_off
from orchestrator.places import RunFolder, create_run, state_directory
from orchestrator.plan.model import Plan, PlanTask
from orchestrator.plan.prepare import Preparer
from orchestrator.poller import Poller
from orchestrator.runners import Runner
from orchestrator.runners.children import Watcher
from orchestrator.runners.processes import ProcessRunner
from orchestrator.runners.programs import ProgramRunner
from orchestrator.runners.threads import ThreadRunner
from orchestrator.scheduler import Scheduler

if TYPE_CHECKING:
    from orchestrator.queues.registry import Queues

# What orch itself imports late, and a module of the same name at the job's root would stand in for.
_OWN_IMPORTS = ("jinja2", "markdown_it", "markupsafe", "pygments", "rich", "structlog", "yaml")
RUN_ID, PARENT_RUN_IDS = "ORCH_RUN_ID", "ORCH_PARENT_RUN_IDS"

Observe = Callable[["Run"], Sequence[Observer]]


class Run:
    """A run that is about to be made, or is under way."""

    def __init__(
        self, loaded: Loaded, clock: Clock, *, state_dir: str | None = None, fail_fast: bool = False
    ) -> None:
        """Make the run's directory. Raises ``EnvironmentFault`` where that cannot be."""
        self.loaded, self.plan, self.clock = loaded, loaded.plan, clock
        self.folder: RunFolder = create_run(state_directory(Path(self.plan.root), state_dir))
        self.id = self.folder.id
        self.path = self.folder.path
        self.inbox: Inbox = Inbox()
        self.queues: Queues | None = None
        self.ladder = signals.Ladder(self.inbox, clock.now)
        with collector_off():
            self.scheduler = Scheduler(self.plan, self.id, fail_fast=fail_fast)

    def go(self, observe: Observe, *, redirect: bool, handle_signals: bool) -> Finished:
        """Run to the end.

        With *redirect* descriptors 1 and 2 become the run's own files meanwhile. Raises
        ``JournalError``, and ``OSError`` where the root directory cannot be entered.
        """
        with ExitStack() as stack:
            stack.callback(self.folder.release)
            journal = self._journal()
            stack.callback(journal.close)
            stack.enter_context(_surroundings(self._environment(), self.plan.root))
            if redirect:
                stack.enter_context(_redirected(self.path))
            stack.enter_context(streams.installed())
            stack.enter_context(functions.importing_from(self.plan.root))
            _import_own(self.plan.root)
            poller = Poller(lambda error: self.inbox.put(Broken(error, self.clock.now())))
            watcher = Watcher(poller, self._heard)
            stack.callback(watcher.close)
            stack.callback(poller.close)
            if self.plan.queues:
                self.queues = self._queues(poller)
                stack.callback(self.queues.close_all)
            socket = self._socket(watcher)
            runners = self._runners(watcher)
            for runner in runners.values():
                stack.callback(runner.close, self.plan.grace_s)
            engine = Engine(
                self.plan,
                scheduler=self.scheduler,
                journal=journal,
                runners=runners,
                preparer=self._preparer(socket),
                queues=self.queues,
                clock=self.clock,
                inbox=self.inbox,
                observers=observe(self),
            )
            engine.prepare()
            if handle_signals:
                stack.enter_context(signals.handled(self.ladder))
            return engine.run()

    def _journal(self) -> Journal:
        """Begin the journal; a run that cannot even do that leaves nothing behind."""
        try:
            journal = Journal(self.path)
            journal.begin(self._meta(), _task_rows(self.plan))
        except JournalError:
            shutil.rmtree(self.path, ignore_errors=True)
            raise
        return journal

    def _meta(self) -> dict[str, Any]:
        return {
            "job": self.plan.name,
            "file": self.loaded.file,
            "root": self.plan.root,
            "params": self.plan.params,
            "queues": joined(self.plan),
            "started_at": wall_text(self.clock.started_at),
            "pid": os.getpid(),
            "orch": __version__,
            "python": sys.version.split()[0],
        }

    def _environment(self) -> dict[str, str | None]:
        """Return what is set in orch's own environment, so that it holds in every mode."""
        changed: dict[str, str | None] = {
            name: value
            for name, value in self.loaded.environment.items()
            if os.environ.get(name) != value
        }
        outer = [part for part in (os.environ.get(PARENT_RUN_IDS), os.environ.get(RUN_ID)) if part]
        if outer:
            changed[PARENT_RUN_IDS] = ",".join(outer)
        changed[RUN_ID] = self.id
        # what an outer run told this process about itself is not the tasks'
        for name in ("ORCH_TASK", "ORCH_ATTEMPT", "ORCH_OUTPUT", "ORCH_RUN_DIR", "ORCH_SOCKET"):
            if name in os.environ:
                changed[name] = None
        return changed

    def _preparer(self, socket: str) -> Preparer:
        names = {**self.loaded.names, "run": {"id": self.id, "dir": str(self.path)}}
        return Preparer(
            root=self.plan.root,
            folder=str(self.path),
            run_id=self.id,
            names=names,
            environment=dict(os.environ),
            python=sys.executable,
            socket=socket,
        )

    def _socket(self, watcher: Watcher) -> str:
        """Listen for what programs say; without a socket they write to their logs."""
        path = str(self.path / "orch.sock")
        if all(task.mode == "thread" for task in self.plan.tasks.values()):
            return path
        try:
            watcher.listen(path)
        except OSError:  # a file system without sockets
            pass
        return path

    def _queues(self, poller: Poller) -> "Queues":
        from orchestrator.queues.registry import Queues  # noqa: PLC0415 - few jobs have queues

        return Queues(self.plan, str(self.path), poller, self.inbox.put, self.clock.now)

    def _runners(self, watcher: Watcher) -> dict[str, Runner]:
        post, now, queues = self.inbox.put, self.clock.now, self.queues
        make: dict[str, Callable[[], Runner]] = {
            "thread": lambda: ThreadRunner(self.id, post, now, queues),
            "process": lambda: ProcessRunner(self.plan.root, post, now, watcher, queues),
            "subprocess": lambda: ProgramRunner(post, now, watcher, queues),
        }
        modes = sorted({task.mode for task in self.plan.tasks.values()})
        return {mode: make[mode]() for mode in modes}

    def _heard(self, data: bytes) -> None:
        """Take a datagram of a program; what is not as ``task`` sends it is ignored."""
        from orchestrator import jsonio  # noqa: PLC0415 - few programs speak

        try:
            message = jsonio.loads(data)
            task, attempt, kind, fields = (message[k] for k in ("task", "attempt", "kind", "data"))
        except (jsonio.OutputError, LookupError, TypeError):
            return
        known = isinstance(task, str) and task in self.scheduler.nodes and type(attempt) is int
        if known and kind in ("progress", "log") and isinstance(fields, dict):
            self.inbox.put(Noted(task, attempt, kind, fields, self.clock.now()))


def platform_limits(platform: str = sys.platform) -> str | None:
    """Return what orch cannot do on this system; None on Linux, where it can do everything."""
    if platform == "linux":
        return None
    return (
        f"on {platform} threads have no working directory of their own and programs cannot speak "
        "to orch (task.log, task.progress); only Linux is tested"
    )


def joined(plan: Plan) -> dict[str, Any]:
    """Return which tasks each queue joins, as JSON data."""
    return {
        queue.name: {
            "direct": queue.direct,
            "publishers": list(queue.publishers),
            "consumers": list(queue.consumers),
        }
        for queue in plan.queues.values()
    }


def _task_rows(plan: Plan) -> Iterator[tuple[str, str, int | None]]:
    for task in plan.tasks.values():
        yield task.name, task.mode, _instances(task)


def _instances(task: PlanTask) -> int | None:
    """Return how many instances there are: None for a task without, -1 where it is not known."""
    if not task.many:
        return None
    return -1 if task.count is None else task.count


@contextmanager
def _surroundings(environment: Mapping[str, str | None], root: str) -> Iterator[None]:
    """Set the environment and the working directory for a run, and put both back."""
    before = {name: os.environ.get(name) for name in environment}
    folder = os.getcwd()
    os.chdir(root)
    _set_environment(environment)
    try:
        yield
    finally:
        _set_environment(before)
        os.chdir(folder)


def _set_environment(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


@contextmanager
def _redirected(folder: Path) -> Iterator[None]:
    """Let descriptors 1 and 2 be the run's own files: nobody prints into the data."""
    saved = []
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True, errors="backslashreplace")
    for number, name in ((1, "run.out"), (2, "run.err")):
        kept = os.dup(number)
        saved.append((number, kept))
        file = streams.open_output(str(folder / name))
        os.dup2(file, number)
        os.close(file)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, kept in saved:
            os.dup2(kept, number)
            os.close(kept)


def _import_own(root: str) -> None:
    """Import what orch needs late now, if the job's root holds a module of that name."""
    try:
        names = {entry.name.removesuffix(".py") for entry in os.scandir(root)}
    except OSError:
        return
    for name in _OWN_IMPORTS:
        if name in names:
            import_module(name)
