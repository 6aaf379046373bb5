"""The record of a run on real disks: how it is synced, what is whole, what is refused."""

import os
import re
import shutil
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.builder import Builder

OK = "mode: subprocess, command: ['true']"


@pytest.mark.promise(3)
@pytest.mark.parametrize(("sync", "least", "most"), [("normal", 0, 10), ("full", 20, 10_000)])
def test_sync(job: Builder, sync: str, least: int, most: int) -> None:
    """With ``--sync full`` the disk is waited for at each turn; without, now and then."""
    if shutil.which("strace") is None:
        pytest.skip("needs strace")
    chain = [f"t{n}: {{{OK}, needs: [{f't{n - 1}' if n else ''}]}}" for n in range(20)]
    job.tasks("\n".join(chain))
    trace = "exec strace -f -qq -o trace -e trace=fsync,fdatasync "
    command = f"{trace} {os.fsdecode(shutil.which('env') or 'env')}"
    running = job.start_orch(
        "run", "job.yaml", "-q", "--sync", sync, before=f'set -- {command[5:]} "$@"'
    )
    assert running.finish().code == 0
    calls = re.findall(r"f(?:data)?sync\(", (job.root / "trace").read_text())
    assert least <= len(calls) <= most


@pytest.mark.promise(3)
def test_journal_is_whole_at_any_moment(job: Builder, faults: Callable[[int, int], None]) -> None:
    """A copy made while the run goes on opens, is intact, and each turn in it is whole."""
    job.module("def f(): return 'x' * 2000")
    job.tasks("""
        a: {mode: thread, function: "m:f", foreach: "{{ range(1500) }}"}
        b: {mode: subprocess, command: ["true"], needs: [a]}
    """)
    running = job.start()
    whole = looked = 0
    for _ in range(20):
        for _ in range(100):
            running.line()
        with closing(_read_only(job.runs()[-1] / "journal.db")) as journal:
            assert journal.execute("PRAGMA journal_mode").fetchone() == ("wal",)
            intact = journal.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            journal.execute("BEGIN")  # one moment for both
            started = _pairs(journal, "started")
            ended = _pairs(journal, "ended")
        looked += 1
        whole += intact and set(ended) <= set(started) and len(ended) == len(set(ended))
    faults(looked, whole)
    assert whole == looked
    assert running.finish().code == 0


def _read_only(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{path}?mode=ro", uri=True)


def _pairs(journal: sqlite3.Connection, kind: str) -> list[tuple[str, int]]:
    found = journal.execute(
        "SELECT json_extract(value, '$[1]'), json_extract(value, '$[2]') "
        "FROM turns, json_each(turns.events) WHERE json_extract(value, '$[0]') = ?", (kind,)
    )  # fmt: skip
    return list(found)


@pytest.mark.promise(1, 2)
def test_outcomes_of_a_killed_run_are_recorded_once(job: Builder) -> None:
    """After SIGKILL, resume, SIGKILL, resume each attempt has one outcome, and one only."""
    job.gate("go")
    ready = job.gate("ready")
    job.tasks("""
        a: {mode: subprocess, shell: true, command: "echo a >> ran"}
        b: {mode: subprocess, shell: true, needs: [a],
            command: "test -e flag && exec echo; echo > ready; read x < go"}
        c: {mode: subprocess, shell: true, needs: [b], command: "echo c >> ran"}
    """)
    running = job.start()
    for _ in range(2):
        ready.wait()
        running.signal(signal.SIGKILL)
        running.finish()
        running = job.start_orch("resume", "--events")
    ready.wait()
    running.signal(signal.SIGKILL)
    running.finish()
    job.file("flag", "")
    done = job.orch("resume", "--json")
    assert done.code == 0
    assert (job.root / "ran").read_text().split() == ["a", "c"]
    assert [task["attempts"] for task in done.tasks.values()] == [1, 4, 1]
    with closing(_read_only(job.runs()[-1] / "journal.db")) as journal:
        ended = _pairs(journal, "ended")
    assert len(ended) == len(set(ended))
    assert job.orch("show", "--json").document == done.document


@pytest.mark.promise(4)
def test_journal_of_any_damage(job: Builder, faults: Callable[[int, int], None]) -> None:
    """Cut off, empty, gone, a directory, of another run: refused, and not a byte of it changed."""
    job.tasks(f"a: {{{OK}}}\nb: {{mode: subprocess, command: [test, -e, flag]}}")
    assert job.run().code == 1
    path = job.runs()[-1] / "journal.db"
    data = path.read_bytes()
    event = data.index(b'"ended"')
    damages = {
        "empty": b"",
        "half": data[: len(data) // 2],
        "a page short": data[:-4096],
        "not a database": b"x" * len(data),
        "zeros": bytes(len(data)),
        "header": b"SQLite format 4\0" + data[16:],
        "page size": data[:16] + b"\xff\xff" + data[18:],
        "an event": data[:event] + b'"ENDED"' + data[event + 7 :],
        "end": data[:-100] + b"\xff" * 100,
    }
    wrong = {}
    for name, damaged in damages.items():
        for extra in ("-wal", "-shm"):
            Path(f"{path}{extra}").unlink(missing_ok=True)
        path.write_bytes(damaged)
        done = job.orch("resume")
        if done.code != 4 or "Traceback" in done.err or path.read_bytes() != damaged:
            wrong[name] = done
    faults(len(damages), len(damages) - len(wrong))
    assert wrong == {}


@pytest.mark.promise(7)
def test_state_directory_that_goes_away(job: Builder) -> None:
    """A state directory that is removed in the middle of a run ends it with 4, naming the path."""
    job.tasks("""
        beside: {mode: subprocess, shell: true,
                 command: "trap 'echo > told; exit' TERM; echo > on; sleep 3 & wait"}
        a: {mode: subprocess, shell: true, command: "read x < on; rm -rf .orch"}
        next: {mode: subprocess, command: [touch, next], needs: [a]}
    """, "grace: 2\nlimits: {processes: 2}")  # fmt: skip
    job.gate("on")
    done = job.run()
    assert done.code == 4
    assert ".orch" in done.err
    assert "Traceback" not in done.err
    assert (job.root / "told").exists()
    assert not (job.root / "next").exists()


@pytest.mark.promise(7)
def test_file_size_limit(job: Builder) -> None:
    """Where files may not grow, as under a quota, a run ends with 4 or its tasks fail; no hang."""
    job.tasks("a: {mode: thread, function: 'm:f', foreach: '{{ range(300) }}'}")
    job.module("def f(): return 'x' * 1000")
    done = job.shell("ulimit -f 60; orch run job.yaml")
    assert done.code == 4
    assert "journal.db" in done.err
    assert "Traceback" not in done.err
    resumed = job.orch("resume", "--json")
    assert resumed.code == 0
    assert {task["state"] for task in resumed.tasks.values()} == {"succeeded"}


@pytest.mark.promise(7, 24)
def test_output_on_a_full_disk(job: Builder) -> None:
    """A task that fills the disk fails where it looks; the run ends, and says why."""
    if os.geteuid() != 0 or job.shell("unshare --mount true").code:
        pytest.skip("nothing can be mounted here")
    (job.root / "state").mkdir()
    job.tasks("""
        a: {mode: subprocess, shell: true, command: "head -c 5000000 /dev/zero"}
        b: {mode: subprocess, command: [touch, next], needs: [a]}
    """)
    done = job.shell("""
        export -f orch
        unshare --mount bash -c 'mount -t tmpfs -o size=1m,mode=700 tmpfs state &&
        orch run job.yaml --state-dir state'
    """)
    assert done.code in (1, 4)
    assert "Traceback" not in done.err
    assert not (job.root / "next").exists()
