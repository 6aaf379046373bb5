"""What is installed elsewhere: the wheel, and a job run with it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

TOP = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Return the path of the wheel, built with what is installed here."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder)]
    subprocess.run([*build, str(TOP)], check=True, capture_output=True, timeout=120)
    (path,) = folder.glob("*.whl")
    return path


def test_the_wheel_holds_orchestrator_only(wheel):
    """A ``jobs`` package in site-packages would stand in for users' own."""
    names = ZipFile(wheel).namelist()
    tops = {name.partition("/")[0] for name in names}
    assert {"orchestrator"} == {top for top in tops if not top.endswith((".dist-info", ".data"))}
    scripts = [name for name in names if ".data/" in name]
    assert [name.partition(".data/")[2] for name in scripts] == ["scripts/orch"]
    assert "orchestrator/py.typed" in ZipFile(wheel).namelist()


def test_a_job_elsewhere_finds_its_own_functions_and_programs(wheel, tmp_path):
    """What is installed runs a job file of another directory, called from a third."""
    installed, job, here = tmp_path / "site", tmp_path / "job", tmp_path / "here"
    for folder in (installed, job / "jobs", here):
        folder.mkdir(parents=True)
    ZipFile(wheel).extractall(installed)
    (job / "jobs" / "mine.py").write_text("def f():\n    return 'mine'\n")
    (job / "p.py").write_text("print('\"program\"')\n")
    (job / "x.yaml").write_text("""
tasks:
  a: {mode: thread, function: "jobs.mine:f"}
  b: {mode: process, function: "jobs.mine:f"}
  c: {mode: subprocess, program: p.py, output: json}
""")
    argv = [sys.executable, "-P", "-m", "orchestrator", "run", "../job/x.yaml", "--json"]
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    done = subprocess.run(
        argv, cwd=here, env=environment, capture_output=True, timeout=60, check=True
    )
    tasks = json.loads(done.stdout)["tasks"]
    assert [task["output"] for task in tasks.values()] == ["mine", "mine", "program"]
