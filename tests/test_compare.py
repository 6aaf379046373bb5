"""``orch compare``: one task in every mode that fits it."""

import pytest

from tests.builder import FUNCTION_MODES, Builder

MODULE = """
    import time

    def burns(seconds):
        until = time.thread_time() + seconds
        while time.thread_time() < until:
            pass
"""


@pytest.fixture
def tasks(job: Builder) -> Builder:
    """Return a job with a function, a Python program and a command."""
    job.module(MODULE)
    job.file("main.py", "print(sum(range(1000)))\n")
    job.tasks(
        """
        burns: {mode: thread, function: 'm:burns', args: ["{{ params.s }}"]}
        main: {mode: subprocess, program: main.py}
        plain: {mode: subprocess, command: [sleep, '0.01']}
        gives: {mode: subprocess, command: [echo, '1'], publish: q}
        takes: {mode: subprocess, command: [cat], consume: q}
        """,
        "params: {s: {type: float, default: 0.05}}\nqueues: {q: {format: text}}",
    )
    return job


@pytest.mark.parametrize(
    ("task", "modes"),
    [
        ("burns", [(mode, "cold") for mode in FUNCTION_MODES]),
        ("main", [("subprocess", "cold"), ("subprocess", "warm")]),
        ("plain", [("subprocess", "cold")]),
    ],
)
def test_every_mode_that_fits(tasks: Builder, task: str, modes: list[tuple[str, str]]) -> None:
    """A function in its modes, a Python program cold and warm, a command as it is."""
    done = tasks.orch("compare", "job.yaml", task, "--yes", "--times", "1", "--json")
    found = done.document["modes"]
    assert [(one["mode"], one["start"]) for one in found] == modes
    assert all(one["seconds"] > 0 and one["at_once"] == 2 for one in found)
    assert all(0 <= one["lost_parallelism"] < 1 for one in found)
    assert tasks.runs() == []


def test_table(tasks: Builder) -> None:
    """People get a line a mode."""
    done = tasks.orch("compare", "job.yaml", "burns", "--yes", "--times", "1")
    head, *lines = done.out.splitlines()
    assert head.split() == ["MODE", "ALONE", "START", "CPU", "MEMORY", "2", "AT", "ONCE", "LOST"]
    assert [line.split()[0] for line in lines] == [*FUNCTION_MODES]


def test_a_mode_in_which_it_fails(tasks: Builder) -> None:
    """It is named, and the others are compared."""
    tasks.module("import signal\ndef f(): signal.signal(signal.SIGUSR1, signal.SIG_IGN)", "hears")
    tasks.tasks("a: {mode: process, function: 'hears:f'}")
    done = tasks.orch("compare", "job.yaml", "a", "--yes", "--times", "1", "--json")
    assert "thread" not in [one["mode"] for one in done.document["modes"]]
    assert done.document["failed"][0]["mode"] == "thread"
    shown = tasks.orch("compare", "job.yaml", "a", "--yes", "--times", "1").out
    assert "as thread it failed: ValueError: signal only works in main thread" in shown


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("nope", "--yes"), "no task `nope`"),
        (("gives", "--yes"), "joined with others by a queue"),
        (("burns",), "--yes"),
    ],
)
def test_mistakes(tasks: Builder, args: tuple[str, ...], said: str) -> None:
    """What cannot be compared, or must not without being asked, is an error of usage."""
    done = tasks.orch("compare", "job.yaml", *args)
    assert done.code == 2
    assert said in done.err
