"""The log: the same facts in each format, whatever a task says."""

import json
import subprocess
import sys

import pytest

from orchestrator.logs import Log, Sink, console_line

ODD = 'a "b"\n\x1b[31m = \\ é'


def logged(form, say):
    """Return what *say* writes to a log of format *form*, without the time."""
    written = []
    log = Log("run-1", "debug")
    log.add(Sink("memory", written.append), form)
    say(log)
    log.flush()
    return b"".join(written).decode()


@pytest.mark.parametrize("form", ["json", "keyvalue", "console"])
def test_the_line_made_by_hand_is_the_same(form):
    """That a task succeeded reads as if it had gone the long way."""
    fields = {"task": "a.1", "attempt": 2, "mode": "thread", "outcome": "ok", "duration_s": 0.25}
    long = logged(form, lambda log: log.log("info", "task succeeded", **fields))
    short = logged(form, lambda log: log.succeeded("a.1", 2, "thread", 0.25))
    cut = {"json": 39, "keyvalue": 34, "console": 8}[form]
    assert long[cut:] == short[cut:]
    assert len(long) == len(short)


def test_json_lines_hold_anything():
    """What has no JSON stands in the line as its repr, and text as it is."""
    line = json.loads(logged("json", lambda log: log.log("info", ODD, x=ODD, y={1}, z=2**80)))
    assert (line["event"], line["x"], line["y"], line["z"]) == (ODD, ODD, "{1}", 2**80)


def test_key_value_lines_are_one_line():
    """Control characters are escaped, and what holds a space is quoted."""
    line = logged("keyvalue", lambda log: log.log("info", "x", text=ODD, none=None, flag=True))
    assert line.endswith('text="a \\"b\\"\\\\n\\\\x1b[31m = \\\\ é" flag=true\n')


@pytest.mark.promise(26)
def test_console_lines_cannot_steer_the_terminal():
    """What a task says is shown, not obeyed."""
    fields = {"timestamp": "2026-01-31T10:00:00Z", "level": "info", "event": "x", "said": ODD}
    assert "\x1b" not in console_line(fields, colour=False)


@pytest.mark.promise(27)
def test_a_broken_sink_is_dropped_and_said_on_the_other():
    """What can no longer be written to is named once; the other goes on."""
    written = []

    def breaks(_data):
        raise OSError(28, "No space left on device")

    log = Log("run-1")
    log.add(Sink("broken", breaks), "json")
    log.add(Sink("whole", written.append), "json")
    for event in ("one", "two"):
        log.log("info", event)
        log.flush()
    lines = [json.loads(line) for line in b"".join(written).splitlines()]
    assert [line["event"] for line in lines] == ["one", "log dropped", "two"]
    assert (lines[1]["sink"], lines[1]["reason"]) == ("broken", "no space left on device")


def test_a_number_too_long_to_be_shown():
    """What Python refuses to write out does not stop the log."""
    line = json.loads(logged("json", lambda log: log.log("info", "x", huge=10**5000)))
    assert line["huge"] == "<unprintable>"


def test_a_run_with_nothing_to_say_imports_no_structlog():
    """Its import costs more than a small run; the lines of every run look the same without it."""
    script = (
        "import sys\nfrom orchestrator.logs import Log, Sink\nout = []\nlog = Log('r')\n"
        "log.add(Sink('s', out.append), 'json')\nlog.log('info', 'run started', job='j')\n"
        "print('structlog' in sys.modules)\nlog.log('info', 'other')\nlog.log('debug', 'no')\n"
        "log.log('info', 'run started', job='j')\nlog.flush()\nprint('structlog' in sys.modules)\n"
        "print(b''.join(out).decode(), end='')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    before, after, *lines = done.stdout.splitlines()
    assert (before, after) == ("False", "True")
    first, _, last = (json.loads(line) for line in lines)
    assert list(first) == list(last) == ["timestamp", "level", "event", "run", "job"]
    assert {**first, "timestamp": ""} == {**last, "timestamp": ""}
