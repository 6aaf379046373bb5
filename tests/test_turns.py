"""Functions on threads take the loop's turns themselves: nothing is forgotten between threads."""

import random

import pytest

from tests.builder import Builder

MODULE = """
    import threading
    import time

    from orchestrator import task

    lock = threading.Lock()
    beside = most = 0

    def mixed(ms, fails, changes):
        global beside, most
        with lock:
            beside += 1
            most = max(most, beside)
        try:
            if ms:
                time.sleep(ms / 1000)
            if changes:
                import os
                os.environ["CHANGED"] = task.name
                task.log.info("said")
            if fails:
                raise ValueError
        finally:
            with lock:
                beside -= 1

    def highest():
        return most

    pair = threading.Barrier(2)

    def quick():
        pass

    def meet():
        pair.wait(20)

    def wait():
        while True:
            task.check()
            time.sleep(0.001)

    def remove():
        import shutil
        shutil.rmtree(".orch")
"""


@pytest.fixture
def funcs(job: Builder) -> Builder:
    """Return a builder with the module above."""
    job.module(MODULE)
    return job


@pytest.mark.parametrize("seed", range(6))
def test_functions_of_all_lengths(funcs: Builder, seed: int) -> None:
    """Whatever ends beside whatever: all are run, and never more at once than there are slots."""
    chance = random.Random(seed)
    threads = chance.choice([1, 2, 3, 8])
    failing, lines = [], []
    for i in range(300):
        needs = sorted({chance.randrange(i) for _ in range(chance.choice([0, 1, 2]))}) if i else []
        ms = chance.choice([0.05, 0.2, 0.4, 1, 3]) if chance.random() < 0.2 else 0
        fails, changes = chance.random() < 0.05, chance.random() < 0.05
        failing += [f"t{i}"] if fails else []
        lines.append(
            f"t{i}: {{function: 'm:mixed', args: [{ms}, {str(fails).lower()}, "
            f"{str(changes).lower()}], needs: [{', '.join(f't{n}' for n in needs)}]}}"
        )
    lines.append(
        f"last: {{function: 'm:highest', needs: [{', '.join(f't{n}' for n in range(300))}]}}"
    )
    defaults = "defaults: {mode: thread, run_when: always}"
    funcs.tasks("\n".join(lines), f"{defaults}\nlimits: {{threads: {threads}}}")
    done = funcs.run("--json")
    assert failing == [name for name, task in done.tasks.items() if task["state"] == "failed"]
    assert {task["state"] for task in done.tasks.values()} <= {"succeeded", "failed"}
    assert 1 <= done.tasks["last"]["output"] <= threads


def test_two_that_meet_after_quick_ones(funcs: Builder) -> None:
    """The thread that works off what takes no time is not the only one for what does."""
    lines = ["t0: {function: 'm:quick'}"]
    lines += [f"t{i}: {{function: 'm:quick', needs: [t{i - 1}]}}" for i in range(1, 20)]
    lines += [f"{name}: {{function: 'm:meet', needs: [t19]}}" for name in ("one", "other")]
    funcs.tasks("\n".join(lines), "defaults: {mode: thread}")
    assert funcs.run().code == 0


def test_timeout_after_quick_ones(funcs: Builder) -> None:
    """A timer that is set while the loop sleeps wakes it."""
    funcs.tasks(
        """
        first: {mode: thread, function: 'm:quick'}
        second: {mode: thread, function: 'm:quick', needs: [first]}
        long: {mode: thread, function: 'm:wait', timeout: 50ms, needs: [second]}
        """
    )
    done = funcs.run("--json")
    assert done.tasks["long"]["error"]["type"] == "Timeout"


@pytest.mark.promise(7)
def test_record_that_fails_on_a_thread(funcs: Builder) -> None:
    """An error that a thread meets in the loop's stead ends the run as it would have there."""
    funcs.tasks(
        """
        first: {mode: thread, function: 'm:quick'}
        second: {mode: thread, function: 'm:remove', needs: [first]}
        third: {mode: thread, function: 'm:quick', needs: [second]}
        beside: {mode: thread, function: 'm:wait', needs: [first]}
        """
    )
    done = funcs.run()
    assert done.code == 4
    assert "journal.db" in done.err
    assert "Traceback" not in done.err
