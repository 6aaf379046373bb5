"""Bugs of the order of things, and the named tests that find them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).parent.parent.parent
# (file, what stands there, what the bug makes of it, the test that finds it)
MUTANTS = {
    "act_before_journaling": (
        "engine.py",
        """        if recorded := [event for event in told if event.__class__ in KINDS]:
            self._record(recorded, launches)
        self._tell(told)
        for action in others:
            self._act(action)
        for started in launches:
            self._launch(started.task, started.attempt)
""",
        """        self._tell(told)
        for action in others:
            self._act(action)
        for started in launches:
            self._launch(started.task, started.attempt)
        if recorded := [event for event in told if event.__class__ in KINDS]:
            self._record(recorded, launches)
""",
        "test_order.py::test_recorded_before_it_is_done",
    ),
    "reap_before_killpg": (
        "runners/children.py",
        """        self.left = self._leftovers.settle(self.pid)
        _, status, used = os.wait4(self.pid, 0)
""",
        """        _, status, used = os.wait4(self.pid, 0)
        self.left = self._leftovers.settle(self.pid)
""",
        "test_order.py::test_group_is_seen_to_before_the_reap",
    ),
    "end_at_eof": (
        "queues/pipes.py",
        """        left = 2**20  # no pipe""",
        """        os.set_blocking(self._descriptor, True)
        left = 2**20  # no pipe""",
        "test_order.py::test_attempt_ends_with_its_process",
    ),
    "forget_the_keeper": (
        "cli/__init__.py",
        "    clock = begun(kept=_is_kept(args))\n",
        "    clock = begun(kept=False)\n",
        "test_no_orphans.py::test_killed",
    ),
    "forget_the_watchdog": (
        "keeper.py",
        "            tender.adopt_orphans(said)\n            tender.rename",
        "            os.write(said, b'x')\n            tender.rename",
        "test_no_orphans.py::test_killed",
    ),
    "resume_forgets_attempts": (
        "recovery.py",
        "attempts={name: line.attempts for name, line in self._lines.items() if line.attempts},",
        "attempts={},",
        "test_resume.py::test_failed",
    ),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_mutant_is_found(tmp_path: Path, name: str) -> None:
    """The named test fails where orch has this bug."""
    file, right, wrong, test = MUTANTS[name]
    for folder in ("orchestrator", "tests"):
        shutil.copytree(TOP / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pyc*"))
    shutil.copy(TOP / "pyproject.toml", tmp_path)
    path = tmp_path / "orchestrator" / file
    text = path.read_text()
    assert text.count(right) == 1
    path.write_text(text.replace(right, wrong))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider",
         "-p", "no:xdist", f"tests/faults/{test}"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    assert "failed" in done.stdout
