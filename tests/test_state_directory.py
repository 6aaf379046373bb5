"""A state directory that others own, can write to or have linked is refused."""
# ruff: noqa: SIM300 - expected == actual

import os
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.errors import EnvironmentFault
from orchestrator.places import RunFolder, create_run, open_output
from tests.builder import COMMAND, Builder, Result

OTHER = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
# Root without these is bound by the modes of its own files, as everyone else is.
_READS_ALL = "-dac_override,-dac_read_search"
BOUND = f"setpriv --bounding-set={_READS_ALL} --inh-caps={_READS_ALL}" if os.geteuid() == 0 else ""
can_be_bound = pytest.mark.skipif(
    os.geteuid() == 0 and shutil.which("setpriv") is None, reason="root may read everything"
)


def _own_link(state: Path) -> None:
    state.rename(state.with_name("elsewhere"))
    state.symlink_to("elsewhere")


def _link_of_another(state: Path) -> None:
    _own_link(state)
    os.chown(state, OTHER, OTHER, follow_symlinks=False)


def _link_to_anothers(state: Path) -> None:
    _own_link(state)
    os.chown(state, OTHER, OTHER)


def _given_away(state: Path) -> None:
    os.chown(state, OTHER, OTHER)


@pytest.fixture
def plain(job: Builder) -> Builder:
    """Give a job that ran once."""
    job.tasks("a: {mode: subprocess, command: ['true']}")
    assert 0 == job.run().code
    return job


@pytest.mark.promise(31)
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda state: state.chmod(0o777), ".orch can be written by everyone (mode 0777)"),
        (lambda state: state.chmod(0o775), ".orch can be written by its group (mode 0775)"),
        (lambda state: (state / "runs").chmod(0o770), "runs can be written by its group"),
        pytest.param(_given_away, ".orch belongs to another user", marks=as_root),
        pytest.param(_link_of_another, ".orch is a symbolic link of another user", marks=as_root),
        pytest.param(_link_to_anothers, ".orch belongs to another user", marks=as_root),
    ],
)
def test_refused(plain: Builder, change: Callable[[Path], None], said: str) -> None:
    """Who could write there could have orch run what they like: exit 4, nothing is made."""
    change(plain.root / ".orch")
    done = plain.run("-q")
    assert (4, 1) == (done.code, len(plain.runs()))
    assert said in done.err
    assert "name another with --state-dir" in done.err
    assert 0 == plain.run("-q", "--state-dir", "other").code


def test_a_link_of_the_users_own(plain: Builder) -> None:
    """The state directory may be a link of the user's own to a directory of the user's own."""
    _own_link(plain.root / ".orch")
    assert 0 == plain.run("-q").code
    assert 2 == len(list((plain.root / "elsewhere" / "runs").iterdir()))


def test_made_private_under_any_umask(job: Builder) -> None:
    """What orch makes is 0700 also under umask 002: it can be used again."""
    job.tasks("a: {mode: subprocess, command: ['true']}")
    for _ in range(2):
        done = job.shell("umask 002; orch run job.yaml -q; orch run job.yaml -q --state-dir a/b")
        assert (0, "") == (done.code, done.err)
    made = [job.root / state for state in (".orch", ".orch/runs", "a/b", "a/b/runs")]
    assert {0o700} == {path.stat().st_mode & 0o777 for path in made}


def test_a_run_that_exists_is_opened_with_the_same_care(tmp_path: Path) -> None:
    """A run's directory is opened for writing only where nobody else could have changed it."""
    folder = create_run(tmp_path / "state")
    folder.release()
    Path(folder.path).chmod(0o720)
    with pytest.raises(EnvironmentFault, match="can be written by its group"):
        RunFolder(folder.path)
    Path(folder.path).chmod(0o700)
    RunFolder(folder.path).release()
    Path(folder.path).rmdir()
    with pytest.raises(EnvironmentFault, match="has been removed"):
        RunFolder(folder.path)


@pytest.mark.promise(31)
def test_output_files_are_new(tmp_path: Path) -> None:
    """An output file is 0600, never one that is there or that a link leads to, nor inherited."""
    descriptor = open_output(str(tmp_path / "a.1.out"))
    assert (0o600, False) == (os.fstat(descriptor).st_mode & 0o777, os.get_inheritable(descriptor))
    os.close(descriptor)
    (tmp_path / "b.1.out").symlink_to("c")
    for name in ("a.1.out", "b.1.out"):
        with pytest.raises(FileExistsError):
            open_output(str(tmp_path / name))
    assert not (tmp_path / "c").exists()


def _with_unreadable(job: Builder, path: Path, command: str) -> Result:
    """Run ``orch COMMAND`` while nobody may read *path*."""
    mode = path.stat().st_mode
    path.chmod(0)
    try:
        return job.shell(f"{BOUND} {shlex.join(COMMAND)} {command}")
    finally:
        path.chmod(mode)


@can_be_bound
@pytest.mark.parametrize("command", [
    "runs", "show", "logs", "resume", "stop last", "clean", "advise job.yaml",
    "runs --state-dir .orch", "clean --state-dir .orch",
])  # fmt: skip
@pytest.mark.parametrize("folder", [".orch", ".orch/runs"])
def test_what_cannot_be_read_is_named(plain: Builder, command: str, folder: str) -> None:
    """A state directory that orch may not look into is a fault of the machine: exit 4, its path."""
    done = _with_unreadable(plain, plain.root / folder, command)
    assert 4 == done.code
    assert f"{plain.root / folder}" in done.err
    assert "permission denied" in done.err
    assert "Traceback" not in done.err


@can_be_bound
@pytest.mark.parametrize("name", ["", "journal.db"])
def test_a_run_that_cannot_be_read_is_passed_over(plain: Builder, name: str) -> None:
    """``runs`` tells of the others and names it, ``advise`` looks at the others."""
    plain.run()
    first, second = plain.runs()
    done = _with_unreadable(plain, second / name, "runs")
    assert 0 == done.code
    assert [first.name] == [line.split()[0] for line in done.out.splitlines()[1:]]
    assert f"{second}/journal.db cannot be read: permission denied" in done.err
    assert 0 == _with_unreadable(plain, second / name, "advise job.yaml").code


@can_be_bound
@pytest.mark.parametrize(
    "command", ["show", "logs", "logs last a", "resume", "show --json", "stop last", "clean"]
)
def test_a_run_that_cannot_be_read_is_no_bug(plain: Builder, command: str) -> None:
    """Who asks for it is told so, without a traceback."""
    (run,) = plain.runs()
    done = _with_unreadable(plain, run, command)
    assert {"stop last": 2, "clean": 0}.get(command, 4) == done.code
    assert "Traceback" not in done.err


@can_be_bound
def test_output_that_cannot_be_read_is_named(job: Builder) -> None:
    """``logs`` does not pass in silence over a file that it may not read."""
    job.tasks("a: {mode: subprocess, command: [echo, hi]}")
    job.run()
    path = job.runs()[0] / "a.1.out"
    assert f"orch: {path} cannot be read\n" == _with_unreadable(job, path, "logs").err


@can_be_bound
@pytest.mark.parametrize("command", ["runs", "clean"])
def test_a_list_of_runs_that_cannot_be_entered(plain: Builder, command: str) -> None:
    """Names of runs alone are not enough, and no bug either."""
    runs = plain.root / ".orch" / "runs"
    done = plain.shell(
        f"chmod 400 {runs}; {BOUND} {shlex.join(COMMAND)} {command}; code=$?; chmod 700 {runs}; "
        "exit $code"
    )
    assert 0 == done.code
    assert "Traceback" not in done.err


@pytest.mark.parametrize("command", ["runs", "show", "clean", "run {}", "check {}", "advise {}"])
def test_a_working_directory_that_is_gone(plain: Builder, command: str) -> None:
    """Who calls orch from a directory that was removed is told so."""
    words = shlex.join(COMMAND)
    given = command.format(plain.root / "job.yaml")
    done = plain.shell(f"mkdir gone; cd gone; rmdir ../gone; {words} {given}")
    assert (4, "orch: error: the working directory has been removed\n") == (done.code, done.err)
