"""What orch does without file descriptors, processes, threads, or room on the disk."""
# ruff: noqa: SIM300 - expected == actual

import os
import resource
import shlex
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from textwrap import dedent
from threading import Event
from typing import Any

import pytest

from orchestrator.events import Attempt
from orchestrator.poller import Poller
from orchestrator.runners.children import Watcher, launch
from tests.builder import COMMAND, TIMEOUT_S, Builder, Gate, Result

MANY = 40
NOBODY = 65534
# Who has only this capability may read everything, and is bound by limits.
CAPABILITY = "-all,+dac_override"
AS_NOBODY = (
    f"exec setpriv --reuid={NOBODY} --regid={NOBODY} --clear-groups --bounding-set={CAPABILITY} "
    f"--inh-caps={CAPABILITY} --ambient-caps={CAPABILITY}"
)
as_root = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None, reason="only root can be another user"
)
MODULE = """
    import os, resource

    def leave(descriptors):
        '''Let orch, in whose process this is, open so many descriptors more.'''
        limit, used = 0, {int(name) for name in os.listdir("/proc/self/fd")}
        while descriptors >= 0:
            descriptors -= limit not in used
            limit += 1
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit - 1, most))

    def wait():
        with open("gate", "rb", buffering=0) as file:
            file.read(1)

    def double(items):
        for item in items:
            yield item * 2
"""
# The same orch; but it waits for the system for a second only.
IMPATIENT = f"""{sys.executable} -P -c '
from orchestrator.scheduler import Scheduler
Scheduler.patience_s = 1.0
from orchestrator.cli import main
main()
'"""
WAITS = {
    "subprocess": "mode: subprocess, shell: true, command: 'read x < gate'",
    "process": "mode: process, function: 'm:wait'",
    "thread": "mode: thread, function: 'm:wait'",
}


@pytest.fixture
def nobody() -> Iterator[Builder]:
    """Give a builder whose folder is open to a user that runs nothing else."""
    folder = Path(tempfile.mkdtemp(prefix="orch-nobody-"))
    os.chown(folder, NOBODY, NOBODY)
    builder = Builder(folder)
    try:
        yield builder
    finally:
        builder.close()
        left = builder.left_over()
        shutil.rmtree(folder)
    assert not left


def crowd(job: Builder, task: str, *, leave: int | None) -> None:
    """Write a job of 40 attempts that may all run at once, with so many descriptors for them."""
    job.module(MODULE)
    limits = f"limits: {{processes: {MANY}, threads: {MANY}}}"
    first = f"limit: {{mode: thread, function: 'm:leave', args: [{leave}]}}"
    needs = ", needs: [limit]" if leave is not None else ""
    many = f"a: {{{task}{needs}, foreach: '{{{{ range({MANY}) }}}}'}}"
    job.tasks(f"{first}\n{many}" if leave is not None else many, limits)


def run_crowd(job: Builder, *, before: str = "", passes: int = MANY) -> tuple[str, Result]:
    """Run it, and open the gate once some had to wait; return what they waited for."""
    gate = job.gate("gate")
    Path(gate.path).chmod(0o666)
    running = job.start(before=before)
    reason = running.wait_for("postponed")["reason"]
    for _ in range(passes):
        gate.open()
    return reason, running.finish()


def all_succeeded_at_once(done: Result) -> bool:
    """Tell whether each of the 40 succeeded at its first attempt."""
    ends = [event for event in done.events if event["event"] == "ended" and "." in event["task"]]
    return [("ok", 1)] * MANY == [(event["outcome"], event["attempt"]) for event in ends]


# No file descriptors


@pytest.mark.promise(14)
@pytest.mark.parametrize("mode", ["subprocess", "process"])
def test_without_descriptors_attempts_wait(job: Builder, mode: str) -> None:
    """Of 40 attempts only some find descriptors; the rest wait, all succeed, it is said once."""
    crowd(job, WAITS[mode], leave=16)
    reason, done = run_crowd(job)
    assert 0 == done.code
    assert "this process may open no more files (EMFILE)" == reason
    assert 1 == done.err.count("EMFILE")
    assert all_succeeded_at_once(done)


def test_a_small_ulimit(job: Builder) -> None:
    """A limit that orch is started under is no other, whether attempts have to wait for it or not.

    They need not where all have been launched before descriptors are taken to wait for their ends.
    """
    crowd(job, WAITS["subprocess"], leave=None)
    gate = job.gate("gate")
    running = job.start(before="ulimit -n 48")
    running.wait_for("started", task=f"a.{MANY - 1}")
    for _ in range(MANY):
        gate.open()
    done = running.finish()
    assert 0 == done.code
    assert all_succeeded_at_once(done)


@pytest.mark.parametrize("limit", [48, 100, 200])
def test_processes_under_a_small_ulimit(job: Builder, limit: int) -> None:
    """What is forked from a server finds its descriptors under numbers that the limit allows."""
    job.module("def ok(): pass")
    job.tasks("a: {mode: process, function: 'm:ok'}")
    assert job.shell(f"ulimit -n {limit}; orch run job.yaml").code == 0


@pytest.mark.promise(14)
def test_waiting_uses_up_no_try(job: Builder) -> None:
    """Attempts that waited for descriptors still have all their tries."""
    task = (
        "mode: subprocess, shell: true, retry: {attempts: 2, delay: 0}, "
        "command: 'read x < gate; [ $ORCH_ATTEMPT = 2 ]'"
    )
    crowd(job, task, leave=16)
    _, done = run_crowd(job, passes=2 * MANY)
    assert 0 == done.code
    assert 2 * MANY == job.orch("show", "--json").tasks["a"]["attempts"]


def test_pipelines_wait_for_descriptors(job: Builder) -> None:
    """Members that find no descriptors start when others have ended, and no item is lost."""
    job.module(MODULE)
    job.tasks(
        """
        limit: {mode: thread, function: 'm:leave', args: [20]}
        x: {mode: subprocess, shell: true, command: 'read x < gate', needs: [limit],
            foreach: '{{ range(8) }}', priority: 1}
        a: {mode: subprocess, command: [seq, '100'], publish: numbers, needs: [limit]}
        b: {mode: process, function: 'm:double', consume: numbers, publish: doubled, replicas: 2}
        c: {mode: subprocess, shell: true, command: 'wc -l > lines', consume: doubled}
        """,
        "limits: {processes: 12}\nqueues: {numbers: , doubled: }",
    )
    _, done = run_crowd(job, passes=8)
    assert 0 == done.code
    assert "100" == (job.root / "lines").read_text().strip()


@pytest.mark.parametrize("mode", ["subprocess", "process"])
def test_where_nothing_can_be_started(job: Builder, mode: str) -> None:
    """When the system refuses all for as long as orch waits, the tasks fail and say why."""
    crowd(job, WAITS[mode], leave=3)
    done = job.shell(f"{IMPATIENT} run job.yaml --json")
    instances = done.tasks["a"]["instances"].values()
    assert 1 == done.code
    assert ["launch_failed"] * MANY == [each["outcome"] for each in instances]
    assert all("EMFILE" in each["error"]["message"] for each in instances)
    assert done.document["duration_s"] < 10


@pytest.mark.parametrize("limit", range(8, 26, 2))
def test_a_limit_under_which_orch_itself_cannot_start(job: Builder, limit: int) -> None:
    """However few descriptors there are, what is missing is told; it is no bug of orch."""
    job.tasks("a: {mode: thread, function: 'm:ok'}")
    job.module("def ok(): pass")
    done = job.shell(f"ulimit -n {limit}; {IMPATIENT} run job.yaml")
    assert done.code in (0, 1, 4)
    assert not done.code or "file" in done.err  # too many open files, unable to open database file
    assert "bug of orch" not in done.err


def test_a_stop_while_tasks_wait_for_the_system(job: Builder) -> None:
    """A signal ends a run in which tasks wait for the system, at once."""
    crowd(job, WAITS["subprocess"], leave=3)
    running = job.start()
    running.wait_for("postponed")
    running.signal(15)
    assert -15 == running.finish().code
    assert "cancelled" == job.orch("show", "--json").tasks["a"]["state"]


class OneShot:
    """A program that waits at a gate, and a watcher for it."""

    def __init__(self, folder: Path) -> None:
        self.gate = Gate(folder / "gate")
        self.exits: SimpleQueue[object] = SimpleQueue()
        self.poller = Poller(self.exits.put)
        self.watcher = Watcher(self.poller, lambda _: None, lambda *_: None)
        paths = [str(folder / name) for name in ("out", "err", "output")]
        argv = ["/bin/sh", "-c", 'read x < "$1"; exit 3', "sh", self.gate.path]
        attempt = Attempt(
            "a", 1, "subprocess", None, [], {}, argv, {}, str(folder), *paths, "file", (0,)
        )
        self.child = launch(attempt, argv)
        self.poller.begin()

    def watch(self) -> None:
        """Begin to wait for its end; return when that was done."""
        looked = Event()
        self.watcher.watch(self.child, self.exits.put)
        self.poller.call(looked.set)
        assert looked.wait(TIMEOUT_S)

    def exit(self) -> object:
        """Let it end, and return how it did."""
        self.gate.open()
        return self.exits.get(timeout=TIMEOUT_S)

    def close(self) -> None:
        """Give all back."""
        self.poller.close()
        self.watcher.close()
        self.gate.close()


@pytest.fixture
def shot(tmp_path: Path) -> Iterator[OneShot]:
    """Give a program that runs, and is not watched yet."""
    shot = OneShot(tmp_path)
    yield shot
    shot.close()


@contextmanager
def no_descriptors() -> Iterator[None]:
    """Let this process open nothing more."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    names: dict[str, Any] = {}
    exec(dedent(MODULE), names)
    names["leave"](0)
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@contextmanager
def no_threads() -> Iterator[None]:
    """Let this process start no thread: none has room for such a stack."""
    before = threading.stack_size(2**46)
    try:
        yield
    finally:
        threading.stack_size(before)


def test_a_program_is_watched_without_a_descriptor(shot: OneShot) -> None:
    """A program for whose end no descriptor is to be had is waited for by a thread."""
    with no_descriptors():
        shot.watch()
    assert shot.exit()[:2] == (3, None)


def test_a_program_is_watched_without_a_thread(shot: OneShot) -> None:
    """Without a thread either it is looked at from time to time."""
    with no_descriptors(), no_threads():
        shot.watch()
    assert shot.exit()[:2] == (3, None)


# No processes, no threads


@pytest.mark.promise(14)
@as_root
@pytest.mark.parametrize("mode", ["subprocess", "process", "thread"])
def test_without_processes_attempts_wait(nobody: Builder, mode: str) -> None:
    """Where the user may have no more processes or threads, attempts wait, and all succeed."""
    crowd(nobody, WAITS[mode], leave=None)
    reason, done = run_crowd(nobody, before=f'{AS_NOBODY} prlimit --nproc=20 "$@"')
    assert 0 == done.code
    assert "EAGAIN" in reason
    assert 1 == done.err.count("EAGAIN")
    assert all_succeeded_at_once(done)


# No room on the disk


@pytest.mark.promise(7)
def test_a_journal_that_cannot_grow_ends_the_run(job: Builder) -> None:
    """When the record cannot be written, what runs is ended, nothing is started, and it is said."""
    job.module("""
        import resource
        def fill():
            size = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
            resource.setrlimit(resource.RLIMIT_FSIZE, (1, size))
    """)
    job.tasks("""
        long: {mode: subprocess, shell: true, command: 'trap "echo TERM > told; exit" TERM;
               echo > gate; sleep 60 & wait'}
        fill: {mode: thread, function: 'm:fill', needs: [come]}
        come: {mode: subprocess, shell: true, command: 'read x < gate'}
        next: {mode: subprocess, command: [touch, started], needs: [fill]}
    """, "limits: {processes: 2}")  # fmt: skip
    job.gate("gate")
    done = job.run()
    assert 4 == done.code
    assert "journal.db" in done.err
    assert "Traceback" not in done.err
    assert "TERM" == (job.root / "told").read_text().strip()
    assert not (job.root / "started").exists()


@pytest.mark.promise(7)
@as_root
@pytest.mark.parametrize("state", ["state", "state/deeper"])
def test_a_read_only_state_directory_is_found_first(nobody: Builder, state: str) -> None:
    """Where nothing can be written is told, by its path, before anything starts."""
    nobody.tasks("a: {mode: subprocess, command: [touch, started]}")
    folder = nobody.root / "state"
    folder.mkdir()
    os.chown(folder, NOBODY, NOBODY)
    folder.chmod(0o500)
    reader = AS_NOBODY.replace("dac_override", "dac_read_search")
    done = nobody.shell(f"{reader} {shlex.join(COMMAND)} run job.yaml --state-dir {state}")
    assert 4 == done.code
    assert f"{nobody.root / state} cannot be used: permission denied" in done.err
    assert "Traceback" not in done.err
    assert not (nobody.root / "started").exists()


@pytest.mark.promise(3, 7)
@as_root
@pytest.mark.parametrize("size", ["16k", "64k"])
def test_a_full_disk_ends_the_run(job: Builder, size: str) -> None:
    """On a disk that is full before the run is over nothing is started any more; exit 4."""
    if job.shell("unshare --mount true").code:
        pytest.skip("nothing can be mounted here")
    job.tasks("a: {mode: thread, function: 'm:ok', foreach: '{{ range(5000) }}'}")
    job.module("def ok(): return 'x' * 100")
    (job.root / "state").mkdir()
    done = job.shell(f"""
        unshare --mount bash -c 'mount -t tmpfs -o size={size},mode=700 tmpfs state &&
        {shlex.join(COMMAND)} run job.yaml --state-dir state'
    """)
    assert 4 == done.code
    assert str(job.root / "state") in done.err
    assert "Traceback" not in done.err
