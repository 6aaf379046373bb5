"""``orch clean``: which run directories go, and which stay."""
# ruff: noqa: SIM300 - expected == actual

import signal
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from orchestrator.places import wait_for_end
from tests.builder import Builder


def _id(days: float, end: str = "aaaaaa") -> str:
    """Return the id of a run that started *days* ago."""
    then = datetime.now(UTC) - timedelta(days=days)
    return f"{then:%Y%m%d-%H%M%S}-{end}"


def _folder(job: Builder) -> Path:
    return job.root / ".orch" / "runs"


@pytest.fixture
def aged(job: Builder) -> tuple[Builder, Sequence[str]]:
    """Give a job with runs of 0, 2, 40 and 50 days ago, and their ids, newest first."""
    job.tasks("a: {mode: subprocess, command: [echo, hello]}")
    job.run("-q")
    (first,) = job.runs()
    ids = [first.name]
    for days in (2, 40, 50):
        folder = _folder(job) / _id(days)
        folder.mkdir(mode=0o700)
        for file in first.iterdir():
            if file.is_file():
                (folder / file.name).write_bytes(file.read_bytes())
        ids.append(folder.name)
    return job, ids


def _there(job: Builder) -> list[str]:
    return sorted((path.name for path in _folder(job).iterdir()), reverse=True)


@pytest.mark.parametrize(
    ("args", "left"),
    [
        ((), 2),
        (("--older-than", "45d"), 3),
        (("--older-than", "1d12h"), 1),
        (("--older-than", "86400"), 1),
        (("--older-than", "0"), 0),
        (("--keep", "3"), 3),
        (("--keep", "0"), 0),
        (("--keep", "9"), 4),
        (("--keep", "1", "--older-than", "30d"), 2),
        (("--keep", "3", "--older-than", "30d"), 3),
    ],
)
def test_what_goes(aged: tuple[Builder, Sequence[str]], args: tuple[str, ...], left: int) -> None:
    """What is beyond the newest N *and* older goes; without options what is older than 30 days."""
    job, ids = aged
    done = job.orch("clean", "--json", *args)
    assert (0, ids[:left]) == (done.code, _there(job))
    assert (sorted(ids[left:]), left) == (done.document["removed"], done.document["left"])
    assert ids[:left] == [run["run"] for run in job.orch("runs", "--json").document]


def test_it_says_what_it_did(aged: tuple[Builder, Sequence[str]]) -> None:
    """One line on stderr: how many, how much, how many are left; nothing on stdout."""
    job, ids = aged
    size = sum(file.stat().st_size for file in (_folder(job) / ids[-1]).iterdir())
    done = job.orch("clean", "--older-than", "45d")
    assert "" == done.out
    assert f"orch: removed 1 run, {size / 1024:.1f} KiB; 3 left\n" == done.err


def test_dry_run(aged: tuple[Builder, Sequence[str]]) -> None:
    """``--dry-run`` names on stdout what would go, and removes nothing."""
    job, ids = aged
    done = job.orch("clean", "--dry-run")
    assert sorted(ids[2:]) == done.out.split()
    assert done.err.startswith("orch: would remove 2 runs, ")
    assert done.err.endswith("; 2 left\n")
    told = job.orch("clean", "--dry-run", "--json").document
    assert list(ids) == _there(job)
    assert told == job.orch("clean", "--json").document


def test_a_live_run_stays(job: Builder) -> None:
    """A run that is under way is never removed, and goes on."""
    gate = job.gate("gate")
    job.tasks("a: {mode: subprocess, shell: true, command: 'read x < gate'}")
    running = job.start()
    running.wait_for("started")
    told = job.orch("clean", "--keep", "0", "--json").document
    assert {"removed": [], "bytes": 0, "left": 1} == told
    gate.open()
    assert 0 == running.finish().code


def test_an_interrupted_clean_is_completed(aged: tuple[Builder, Sequence[str]]) -> None:
    """What a killed clean has left is no run for other commands; the next one removes it."""
    job, ids = aged
    half = _folder(job) / ids[0]
    half.rename(half.with_name(f".removing-{ids[0]}"))
    assert ids[1:] == [run["run"] for run in job.orch("runs", "--json").document]
    assert [ids[0]] == job.orch("clean", "--keep", "9", "--json").document["removed"]
    assert ids[1:] == _there(job)


def test_what_never_began_goes(job: Builder) -> None:
    """A run's directory without a journal goes after a day; a younger one may be in the making."""
    old, young = _id(1.1), _id(0.9)
    for name in (old, young):
        (_folder(job) / name).mkdir(mode=0o700, parents=True)
    for folder in (_folder(job), _folder(job).parent):
        folder.chmod(0o700)
    told = job.orch("clean", "--keep", "9", "--json").document
    assert {"removed": [old], "bytes": 0, "left": 0} == told
    assert [young] == _there(job)


def test_what_orch_did_not_make_stays(aged: tuple[Builder, Sequence[str]]) -> None:
    """A name that is no run's id, or a link, was given by the user: it stays."""
    job, ids = aged
    (_folder(job) / ids[3]).rename(job.root / "elsewhere")
    (_folder(job) / ids[3]).symlink_to(job.root / "elsewhere")
    (_folder(job) / ids[2]).rename(_folder(job) / "20200101-good")
    (_folder(job) / "notes").mkdir()
    assert [ids[1], ids[0]] == job.orch("clean", "--keep", "0", "--json").document["removed"]
    assert ["notes", ids[3], "20200101-good"] == _there(job)
    assert (job.root / "elsewhere" / "journal.db").exists()


def test_a_damaged_journal_is_no_reason_to_stay(aged: tuple[Builder, Sequence[str]]) -> None:
    """Runs are told by their ids: what is in the journal does not matter."""
    job, ids = aged
    (_folder(job) / ids[3] / "journal.db").write_text("no journal")
    assert sorted(ids[2:]) == job.orch("clean", "--json").document["removed"]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--older-than", "5 parsecs"), "--older-than: found `5 parsecs`, expected a duration"),
        (("--older-than", "9999d"), "--older-than: found `9999d`, expected a duration of at most"),
        (("--older-than", "-1"), "--older-than: found `-1`"),
        (("--keep", "-1"), "--keep"),
        (("--keep", "some"), "valid integer"),
    ],
)
def test_bad_values(aged: tuple[Builder, Sequence[str]], args: tuple[str, ...], said: str) -> None:
    """A wrong value is a usage error that names it, and nothing is removed."""
    job, ids = aged
    done = job.orch("clean", *args)
    assert (2, list(ids)) == (done.code, _there(job))
    assert said in done.err


def test_nothing_there(job: Builder) -> None:
    """Where no run was ever made there is nothing to clean: as with ``orch runs``."""
    assert 2 == job.orch("clean").code
    told = job.orch("clean", "--json", "--state-dir", "state").document
    assert {"removed": [], "bytes": 0, "left": 0} == told


def test_an_unsafe_state_directory_is_not_cleaned(aged: tuple[Builder, Sequence[str]]) -> None:
    """Where others can write orch removes nothing."""
    job, ids = aged
    _folder(job).parent.chmod(0o777)
    done = job.orch("clean", "--keep", "0")
    assert (4, list(ids)) == (done.code, _there(job))
    assert "can be written by everyone" in done.err


def test_measurement_that_was_killed(job: Builder) -> None:
    """What it has left goes, but not while it is under way; nothing of it is a run."""
    gate = job.gate("gate")
    job.module("""
        from orchestrator import task
        def waits():
            with open("gate", "w") as file:
                file.write("x")
            while True:
                task.check()
    """)
    job.tasks("a: {mode: thread, function: 'm:waits'}")
    running = job.start_orch("compare", "job.yaml", "a", "--yes")
    gate.wait()
    assert [] == job.orch("clean", "--older-than", "0", "--json").document["removed"]
    (left,) = (job.root / ".orch" / "trials").iterdir()
    running.signal(signal.SIGKILL)
    running.finish()
    wait_for_end(left)
    assert left.name + "\n" == job.orch("clean", "--dry-run").out
    assert [left.name] == job.orch("clean", "--json").document["removed"]
    assert not left.exists()
    assert "no runs" in job.orch("runs").err
