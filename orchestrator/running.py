"""One run of a plan: its directory, its journal, its runners, its loop; all of it given back."""

from __future__ import annotations

import io
import os
import sys
from contextlib import ExitStack, contextmanager, suppress

from orchestrator import __version__, descriptors, keeper, pythons, signals, tender
from orchestrator.clock import wall_text
from orchestrator.engine import Engine
from orchestrator.errors import EnvironmentFault, JournalError
from orchestrator.events import Broken, Noted, Resumed
from orchestrator.inbox import Inbox
from orchestrator.journal import Journal, TaskRow
from orchestrator.loading import collector_off
from orchestrator.places import Turn, create_run, in_commands, open_own, state_directory
from orchestrator.plan.model import INSIDE
from orchestrator.plan.prepare import Preparer
from orchestrator.procfs import PARENT_RUN_IDS, RUN_ID, kill_carriers
from orchestrator.records import NamedTuple
from orchestrator.sampler import SAMPLE_S
from orchestrator.scheduler import Scheduler
from orchestrator.spec.words import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from typing import Any

    from orchestrator.clock import Clock
    from orchestrator.engine import Observer
    from orchestrator.events import Finished, Recorded
    from orchestrator.journal import Sync
    from orchestrator.loading import Loaded
    from orchestrator.places import RunFolder
    from orchestrator.plan.model import Plan, PlanTask
    from orchestrator.poller import Poller
    from orchestrator.queues.registry import Queues
    from orchestrator.recovery import Recovery
    from orchestrator.runners import Runner
    from orchestrator.runners.children import Watcher
    from orchestrator.secrets import Secrets
    from orchestrator.warm.client import Warm

    Observe = Callable[["Run"], Sequence[Observer]]


class Past(NamedTuple):
    """What a run goes on from: *session* is the number of the new one.

    *refused* are tasks that are not to be started any more.
    """

    folder: RunFolder
    session: int
    recovery: Recovery
    changed: list[str]
    refused: Collection[str] = ()


class Run:
    """A run that is about to be made, or to go on, or is under way."""

    def __init__(
        self,
        loaded: Loaded,
        clock: Clock,
        *,
        state_dir: str | None = None,
        fail_fast: bool = False,
        sync: Sync = "normal",
        past: Past | None = None,
        waits: Callable[[str], None] | None = None,
    ) -> None:
        """Make the run's directory, once it is its turn; *waits* is told for whom it waits.

        Raises ``EnvironmentFault`` where that cannot be.
        """
        self.loaded, self.plan, self.clock = loaded, loaded.plan, clock
        self.fail_fast, self.sync, self.past = fail_fast, sync, past
        self.sample_s = SAMPLE_S  # how often the GIL is looked at while functions run on threads
        self.secrets = loaded.secrets
        if self.secrets is not None:
            _refuse_paths(self.secrets, loaded, state_dir)
        state = state_directory(self.plan.root, state_dir)
        if past is not None:
            state = past.folder.state
        self._turn = turn_of(state, self.plan, waits)
        if past is None:
            self.folder = create_run(state)
        else:
            self.folder = past.folder
            clock.go_on_from(past.recovery.last_at)
        self.id = self.folder.id
        self.path = self.folder.path
        self.inbox = Inbox()
        self.queues: Queues | None = None
        self.opening: list[Recorded] = []  # what this session begins with, if it is not the first
        self.ladder = signals.Ladder(self.id, self.inbox, clock.now)
        with collector_off():
            self.scheduler = Scheduler(self.plan, self.id, fail_fast=fail_fast)
            if past is not None:
                found = past.recovery
                self.scheduler.recall(found.events, found.attempts, past.refused)

    def go(self, observe: Observe, *, redirect: bool, handle_signals: bool) -> Finished:
        """Run to the end; with *redirect* descriptors 1 and 2 become the run's own files meanwhile.

        Raises ``JournalError``, and ``OSError`` where the root directory cannot be entered.
        """
        with ExitStack() as stack:
            stack.callback(keeper.has_ended)
            if self._turn is not None:
                self._turn.is_for(f"run {self.id}", keeper.started_pid())
                stack.callback(self._turn.release)
            stack.callback(self.folder.release)
            journal = self._journal()
            keeper.begins(self.path, f"orch resume {in_commands(self.path)}")
            stack.enter_context(self._guarded())
            stack.callback(journal.close)
            modes = {task.mode for task in self.plan.tasks.values()}
            if modes & INSIDE:
                from orchestrator import surroundings  # noqa: PLC0415 - only if needed

                stack.enter_context(surroundings.of_a_run())
            stack.enter_context(_surroundings(self._environment(), self.plan.root))
            if redirect:
                stack.enter_context(_redirected(self.path))
            if "thread" in modes:
                stack.enter_context(self._for_functions())
            runners = self._runners(stack)
            engine = Engine(
                self.plan,
                scheduler=self.scheduler,
                journal=journal,
                runners=runners,
                preparer=self._preparer(),
                queues=self.queues,
                secrets=self.secrets,
                clock=self.clock,
                inbox=self.inbox,
                observers=observe(self),
                sample_s=self.sample_s,
            )
            engine.prepare(self.past.recovery.events if self.past is not None else ())
            if handle_signals:
                stack.enter_context(signals.handled(self.ladder))
            finished = engine.run()
            if self.queues is not None and finished.state == "succeeded":
                self.queues.remove_records()
            return finished

    @contextmanager
    def _for_functions(self) -> Iterator[None]:
        """Make ready for functions in this process: their streams, their modules."""
        from orchestrator import functions, streams  # noqa: PLC0415 - only if needed

        with streams.installed():
            _import_own(self.plan.root, functions.OWN_IMPORTS)
            with functions.importing_from(self.plan.root):
                yield

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Where no keeper does it, see to it that no program outlives the run."""
        if keeper.is_kept() or not self._starts_processes() or sys.platform != "linux":
            yield
            return
        from orchestrator.guard import Guard  # noqa: PLC0415 - for the library, mostly

        guard = Guard(self.id)
        try:
            yield
        finally:
            kill_carriers(self.id, tasks_only=True)
            guard.close()

    def _starts_processes(self) -> bool:
        return any(task.mode not in INSIDE for task in self.plan.tasks.values())

    @property
    def mask(self) -> Callable[[str], str] | None:
        """What takes secrets out of a text; None where the job has none."""
        return None if self.secrets is None else self.secrets.mask

    def _journal(self) -> Journal:
        """Begin the journal, or a session in it; a run that cannot even do that leaves nothing."""
        past, events = self.past, self.opening
        if past is not None:
            found, now = past.recovery, self.clock.now()
            events += [ended._replace(at=now) for ended in found.lost]
            events.append(Resumed(past.session, found.again, past.changed, now))
        try:
            journal = Journal(self.path, sync=self.sync)
            rows = _task_rows(self.loaded)
            session = past.session if past is not None else 1
            journal.begin(session, self._meta(), self.loaded.data, rows, events)
            with suppress(OSError):  # how the session before ended is on record now
                os.unlink(f"{self.path}/{tender.CRASH}")
        except JournalError:
            if past is None:
                _remove(self.path)
            raise
        return journal

    def _meta(self) -> dict[str, Any]:
        choices = self.loaded.choices
        return {
            "job": self.plan.name,
            "file": self.loaded.file,
            "root": self.plan.root,
            "params": self.plan.params,
            "only": list(choices.only),
            "skip": list(choices.skip),
            "called_from": choices.called_from,
            "fail_fast": self.fail_fast,
            "sync": self.sync,
            "queues": joined(self.plan),
            "started_at": wall_text(self.clock.started_at),
            "pid": keeper.started_pid(),
            "orch": __version__,
            "python": sys.version.split()[0],
            "runs_on": pythons.tag(),
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

    def _preparer(self) -> Preparer:
        names = {**self.loaded.names, "run": {"id": self.id, "dir": self.path}}
        return Preparer(
            root=self.plan.root,
            folder=self.path,
            run_id=self.id,
            names=names,
            environment=dict(os.environ),
            python=sys.executable,
            socket=self._socket,
        )

    @property
    def _socket(self) -> str:
        """Where programs can speak to this run."""
        return f"{self.path}/orch.sock"

    def _runners(self, stack: ExitStack) -> dict[str, Runner]:
        """Return a runner for each mode of the plan; *stack* ends them, and what they need."""
        post, now = self.inbox.put, self.clock.now
        modes = {task.mode for task in self.plan.tasks.values()}
        runners: dict[str, Runner] = {}
        watcher = self._watcher(stack) if modes != {"thread"} or self.plan.queues else None
        shared: Surroundings | None = None
        if modes & INSIDE:
            from orchestrator.surroundings import Surroundings  # noqa: PLC0415 - if needed

            descriptors.share()
            shared = Surroundings()
        if "thread" in modes:
            from orchestrator.runners.threads import ThreadRunner  # noqa: PLC0415 - if needed

            runners["thread"] = ThreadRunner(self.id, post, now, self.queues, surroundings=shared)
        warm = self._warm(watcher, stack) if watcher is not None else None
        if watcher is not None and "process" in modes:
            from orchestrator.runners.processes import ProcessRunner  # noqa: PLC0415 - if needed

            root = self.plan.root
            runners["process"] = ProcessRunner(root, post, now, watcher, self.queues, warm)
        if watcher is not None and "interpreter" in modes:
            from orchestrator.runners.interpreters import (  # noqa: PLC0415 - if needed
                InterpreterRunner,
            )

            runners["interpreter"] = InterpreterRunner(
                self.plan.root,
                self.id,
                self._socket,
                post,
                now,
                watcher,
                self.queues,
                surroundings=shared,
            )
        if watcher is not None and "subprocess" in modes:
            from orchestrator.runners.programs import ProgramRunner  # noqa: PLC0415 - if needed

            runners["subprocess"] = ProgramRunner(post, now, watcher, self.queues, warm)
        for runner in runners.values():
            stack.callback(runner.close, self.plan.grace_s)
        return runners

    def _warm(self, watcher: Watcher, stack: ExitStack) -> Warm | None:
        """Return the servers that fork warm programs and processes, if there may be any."""
        wanted = any(t.mode == "process" or t.start == "warm" for t in self.plan.tasks.values())
        if not (wanted and hasattr(os, "pidfd_open") and sys.platform == "linux"):
            return None
        from orchestrator.warm.client import Warm  # noqa: PLC0415 - only if needed

        warm = Warm(self.plan, self.path, watcher, self.inbox.put, self.clock.now)
        stack.callback(warm.close)
        warm.begin()
        return warm

    def _watcher(self, stack: ExitStack) -> Watcher:
        """Return what waits for processes, and for what they say; make queues, if there are any."""
        from orchestrator.poller import Poller  # noqa: PLC0415 - functions on threads need none
        from orchestrator.runners.children import Watcher  # noqa: PLC0415

        poller = Poller(lambda error: self.inbox.put(Broken(error, self.clock.now())))
        watcher = Watcher(poller, self._heard, self._left)
        stack.callback(watcher.close)
        stack.callback(poller.close)
        if self.plan.queues:
            self.queues = self._queues(poller)
            stack.callback(self.queues.close_all)
        if any(task.mode != "thread" for task in self.plan.tasks.values()):
            with suppress(OSError):  # a file system without sockets; they write to their logs then
                watcher.listen(self._socket)
        return watcher

    def _queues(self, poller: Poller) -> Queues:
        from orchestrator.queues.registry import Queues  # noqa: PLC0415 - few jobs have queues

        recovery = self.past.recovery if self.past is not None else None
        return Queues(
            self.plan,
            self.path,
            poller,
            self.inbox.put,
            self.clock.now,
            recovery,
            records=self.secrets is None,  # an item may hold one
        )

    def _left(self, task: str, number: int, names: list[str]) -> None:
        """Tell of processes that an attempt has left behind."""
        data = {"level": "warning", "event": "processes left behind", "left": ", ".join(names)}
        self.inbox.put(Noted(task, number, "log", data, self.clock.now()))

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


def _remove(folder: str) -> None:
    from shutil import rmtree  # noqa: PLC0415 - for a run that could not begin

    rmtree(folder, ignore_errors=True)


def turn_of(
    state: str, plan: Plan, waits: Callable[[str], None] | None = None, *, may_wait: bool = True
) -> Turn | None:
    """Return the right to run, where the job has it that only one of its runs is under way.

    *waits* is told for whom this one waits. Raises ``EnvironmentFault`` where it must not.
    """
    if plan.concurrency == "allow":
        return None
    turn = Turn(state, plan.name)
    if turn.take():
        return turn
    if plan.concurrency == "refuse" or not may_wait:
        holder = turn.holder()
        turn.release()
        raise EnvironmentFault(
            f"job {quote(plan.name)} is under way: {holder} (concurrency: {plan.concurrency})"
        )
    if waits is not None:
        waits(turn.holder())
    turn.wait()
    return turn


def _refuse_paths(secrets: Secrets, loaded: Loaded, state_dir: str | None) -> None:
    """Raise ``EnvironmentFault`` where a path that is recorded holds the value of a secret."""
    state = os.path.abspath(state_dir) if state_dir else ""
    paths = {
        "the path of the job file": loaded.file or "",
        "the working directory": loaded.choices.called_from,
        "the path of `root`": loaded.plan.root,
        "the path of the state directory": state,
        "the value of a parameter": str(list(loaded.plan.params.values())),
    }
    for what, path in paths.items():
        if (name := secrets.find(path)) is not None:
            raise EnvironmentFault(f"{what} holds the value of secret `{name}`")


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


def _task_rows(loaded: Loaded) -> Iterator[TaskRow]:
    for name, task in loaded.plan.tasks.items():
        yield TaskRow(name, task.mode, _instances(task), loaded.digests[name])


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
def _redirected(folder: str) -> Iterator[None]:
    """Let descriptors 1 and 2 be the run's own files: nobody prints into the data."""
    saved = []
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True, errors="backslashreplace")
    for number, name in ((1, "run.out"), (2, "run.err")):
        kept = os.dup(number)
        saved.append((number, kept))
        file = open_own(f"{folder}/{name}")
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


def _import_own(root: str, own: Collection[str]) -> None:
    """Import what orch needs late now, if the job's root holds a module of that name."""
    try:
        names = {entry.name.removesuffix(".py") for entry in os.scandir(root)}
    except OSError:
        return
    for name in own:
        if name in names:
            __import__(name)
