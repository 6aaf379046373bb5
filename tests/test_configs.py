"""The sample jobs do what they say."""

from pathlib import Path

import pytest

from tests.builder import Builder

TOP = Path(__file__).parent.parent
CENSUS = str(TOP / "configs" / "census.yaml")


@pytest.mark.parametrize("workers", [1, 3])
def test_census(job: Builder, workers: int) -> None:
    """The census counts every module of a folder once, however many programs measure."""
    source = TOP / "orchestrator"
    report = job.root / "report.md"
    done = job.orch(
        "run", CENSUS, "--json", "--state-dir", str(job.root / "state"),
        "-p", f"source={source}", "-p", f"report={report}", "-p", f"workers={workers}",
    )  # fmt: skip
    assert done.code == 0, done.err
    modules = list(source.rglob("*.py"))
    lines = sum(path.read_bytes().count(b"\n") for path in modules)
    total = done.tasks["total"]["output"]
    assert (total["modules"], total["lines"]) == (len(modules), lines)
    assert done.tasks["find"]["output"] == len(modules)
    assert f"- modules: {len(modules)} " in report.read_text()
