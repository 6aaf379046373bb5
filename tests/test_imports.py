"""What is imported on which path: a start costs what it imports."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.builder import Builder

_LINE = re.compile(r"import time:\s+\d+ \|\s+\d+ \|\s*(\S+)")
# Each of these, with what it brings, costs from a tenth to ten times what Python's own start does.
HEAVY = frozenset({
    "asyncio", "dataclasses", "datetime", "email", "enum", "hashlib", "importlib.metadata",
    "inspect", "jinja2", "json", "locale", "logging", "orjson", "pathlib", "pydantic", "random",
    "re", "rich", "selectors", "shutil", "signal", "socket", "structlog", "subprocess", "tempfile",
    "traceback", "typer", "typing", "yaml",
})  # fmt: skip
PROGRAMS = """
    params: {word: {type: str, default: hello}}
    tasks:
      first: {mode: subprocess, command: [/bin/echo, "1"], output: json}
      second:
        mode: subprocess
        command: [/bin/true, "{{ params.word }}", "{{ tasks.first.output }}"]
    """
FUNCTIONS = """
    params: {word: {type: str, default: hello}}
    tasks:
      first: {mode: thread, function: m:same, args: ["{{ params.word }}"]}
      second: {mode: thread, function: m:same, args: ["{{ tasks.first.output }}"]}
    """
INSTANCES = """
    tasks:
      each: {mode: thread, function: m:same, foreach: [1, 2], args: ["{{ item }}"]}
    """
PYTHON_S_OWN = """
    tasks:
      first: {mode: thread, function: time:monotonic}
      second: {mode: thread, function: os:getpid}
      third: {mode: thread, function: math:sqrt, args: [4]}
    """


def imported(job: Builder, *args: str) -> set[str]:
    """Return what ``orch ARGS`` imports, in all of its processes."""
    done = subprocess.run(
        [sys.executable, "-P", "-X", "importtime", "-m", "orchestrator", *args],
        cwd=job.root, env={**job.env, "PYTHONPYCACHEPREFIX": str(job.root / "byte_code")},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    # from its first task on a run has its standard error in a file of its own
    said = done.stderr + "".join(
        file.read_text() for file in (job.root / ".orch" / "runs").glob("*/run.err")
    )
    shutil.rmtree(job.root / ".orch" / "runs", ignore_errors=True)
    bare = subprocess.run(
        [sys.executable, "-P", "-X", "importtime", "-c", "import runpy"],
        capture_output=True, text=True, timeout=60, check=True, env=job.env,
    )  # fmt: skip
    own = set(_LINE.findall(said))
    return own - set(_LINE.findall(bare.stderr)) - {"runpy"}


@pytest.mark.parametrize(
    "text",
    [PROGRAMS, FUNCTIONS, INSTANCES, PYTHON_S_OWN],
    ids=["programs", "functions", "instances", "Python's own"],
)
@pytest.mark.parametrize("options", [(), ("-q",)], ids=["log", "quiet"])
def test_an_unchanged_job(job: Builder, text: str, options: tuple[str, ...]) -> None:
    """Nothing that reads or checks a file, formats for people, or comes from elsewhere."""
    job.module("def same(value):\n    return value\n")
    job.write(text)
    imported(job, "run", "job.yaml")
    found = imported(job, "run", "job.yaml", *options)
    assert found & HEAVY == set()
    assert "orchestrator.spec.models" not in found
    assert "orchestrator.engine" in found  # or nothing was looked at


def test_a_new_job(job: Builder) -> None:
    """What reads and checks the file, but nothing for command lines, logs or expressions."""
    job.write(PROGRAMS)
    found = imported(job, "run", "job.yaml")
    assert found & {"typer", "structlog", "rich", "jinja2", "asyncio", "subprocess"} == set()
    assert {"pydantic", "yaml"} <= found


def test_a_check_does_not_look_at_drafts(job: Builder) -> None:
    """It reads the file afresh, whatever was kept."""
    job.write(PROGRAMS)
    imported(job, "run", "job.yaml")
    found = imported(job, "check", "job.yaml")
    assert "orchestrator.drafts" not in found
    assert {"pydantic", "yaml"} <= found


def test_the_command_itself() -> None:
    """The installed script imports nothing but orch."""
    script = Path(sys.executable).parent / "orch"
    lines = script.read_text().splitlines()
    assert [line.strip() for line in lines if "import" in line and not line.startswith("#")] == [
        "import sys", "from orchestrator.cli import main",
    ]  # fmt: skip
