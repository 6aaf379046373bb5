"""The plain command line and typer understand the same."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.cli import command, start
from orchestrator.cli.app import run_app
from orchestrator.cli.plain import plain

WORDS = [
    "job.yaml", "-", "other.yaml", "-q", "--quiet", "-v", "--verbose", "--json", "--events",
    "--fail-fast", "--keep-going", "--no-keeper", "-p", "--param", "a=1", "a=-1", "@x.yaml",
    "--only", "--skip", "task", "--log-format", "json", "auto", "console", "keyvalue",
    "--log-file", "x.log", "--state-dir", "state", "--task-output", "live", "failed", "none",
    "--sync", "full", "normal", "--help", "-h", "--unknown", "--log-format=json", "-qv", "--", "",
    "-p=a=1", "-pa=1",
]  # fmt: skip


class _Asked(Exception):
    """What would have been run."""


def _asked_of_typer(args: list[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return what typer makes of *args*; None where it refuses them, or shows help."""
    return _asked(lambda: run_app(args), monkeypatch)


def _asked(call: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    def take(request: start.Request) -> None:
        raise _Asked(request)

    with monkeypatch.context() as patched:
        patched.setattr(start, "start", take)
        try:
            call()
        except _Asked as asked:
            (request,) = asked.args
            return request._replace(
                params=list(request.params), only=list(request.only), skip=list(request.skip)
            )
        except SystemExit:
            return None
    return None


@settings(max_examples=400, deadline=None)
@given(words=st.lists(st.sampled_from(WORDS), max_size=7), state=st.sampled_from(["", "there"]))
def test_equal(words: list[str], state: str) -> None:
    """Whatever is plain, typer takes it in the same way."""
    args = ["run", *words]
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("ORCH_STATE_DIR", state)
        found = plain(args)
        if found is not None:
            ours = _asked(lambda: command.run_plain(found), monkeypatch)
            assert ours == _asked_of_typer(args, monkeypatch)
            assert ours is not None


@pytest.mark.parametrize(
    "words",
    [
        ["job.yaml"], ["job.yaml", "-q"], ["-v", "job.yaml", "-p", "a=1", "--param", "b=x y"],
        ["-", "--log-format", "json"], ["job.yaml", "--only", "a", "--only", "b", "--skip", "c"],
        ["job.yaml", "--task-output", "live", "--sync", "full", "--fail-fast", "--keep-going"],
        ["job.yaml", "--events", "--log-file", "x.log", "--state-dir", "s", "--no-keeper"],
    ],
)  # fmt: skip
def test_plain(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """What people write most is plain, and the same."""
    args = ["run", *words]
    found = plain(args)
    assert found is not None
    ours = _asked(lambda: command.run_plain(found), monkeypatch)
    assert ours == _asked_of_typer(args, monkeypatch)


@pytest.mark.parametrize(
    "args",
    [
        [], ["check", "job.yaml"], ["run"], ["run", "--help"], ["run", "a", "b"],
        ["run", "a", "-qv"],
        ["run", "a", "--log-format=json"], ["run", "a", "--log-format", "odd"], ["run", "a", "-p"],
        ["run", "a", "-p", "-q"], ["run", "a", "--", "b"], ["run", "", "-q"], ["--version"],
    ],
)  # fmt: skip
def test_not_plain(args: list[str]) -> None:
    """All else is for typer, which has the words for what is wrong."""
    assert plain(args) is None


def test_shell_completion_is_not_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """While a shell asks for completions nothing is run."""
    monkeypatch.setenv("_ORCH_COMPLETE", "complete_bash")
    assert plain(["run", "job.yaml"]) is None
