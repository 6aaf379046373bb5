"""Mutants of job files; ``make fuzz`` makes a hundred times as many."""

import pytest

from tests import fuzz_reader


@pytest.fixture(autouse=True)
def _at_root(monkeypatch):
    monkeypatch.chdir(fuzz_reader.HERE.parent)  # the seeds name what is there


def test_mutants():
    """Of 2,000 mutants of job files none lets another exception out than ``OrchError``."""
    assert list(fuzz_reader.failures(1, range(2000))) == []


def test_mutants_are_repeatable():
    """A mutant that failed can be made again from its seed and number."""
    files = fuzz_reader.sources()
    assert fuzz_reader.mutant(files, 7, 3) == fuzz_reader.mutant(files, 7, 3)


def test_seeds_reach_the_plan():
    """The seeds are right, so that most mutants have one mistake and not many."""
    assert [fuzz_reader.feed(seed) for seed in fuzz_reader.SEEDS] == [0, 0, 0]
