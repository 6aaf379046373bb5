"""A state directory that others own, can write to or have linked is refused."""
# ruff: noqa: SIM300 - expected == actual

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.errors import EnvironmentFault
from orchestrator.places import RunFolder, create_run, open_output
from tests.builder import Builder

OTHER = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


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
