"""The ledger: what each attempt took, in the journal, ``--json``, ``--events`` and ``show``."""

import json
import signal

import pytest

from orchestrator.spec.durations import show
from tests.builder import FUNCTION_MODES, Builder

MODULE = """
    import threading
    import time
    from concurrent.futures import ThreadPoolExecutor

    def burns():
        until = time.thread_time() + 0.05
        while time.thread_time() < until:
            pass

    def sleeps():
        time.sleep(0.05)

    def fails():
        time.sleep(0.01)
        raise ValueError

    def burns_apart():
        threads = [threading.Thread(target=burns) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def waits_apart():
        with ThreadPoolExecutor(2) as pool:
            for _ in pool.map(time.sleep, [0.001] * 40):
                pass

    def holds():
        return len(bytearray(90_000_000))

    def talks():
        print("four")
        return "four"
"""
OF_A_FUNCTION = {"wall_s", "cpu_s", "startup_s", "cpu_share"}
SWITCHES = {"voluntary_switches", "involuntary_switches"}
ALWAYS = {"waited_s", "output_bytes"}


@pytest.fixture
def funcs(job: Builder) -> Builder:
    """Return a builder with the module above, and one that takes a while to be imported."""
    job.module(MODULE)
    job.module("import time\ntime.sleep(0.05)\ndef f(): pass", "slow")
    return job


def _cost(job: Builder, task: str, head: str = "") -> dict[str, float]:
    job.tasks(f"a: {{{task}}}", head)
    found = job.run("--json").tasks["a"]["cost"]
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("mode", FUNCTION_MODES)
def test_computing_and_waiting(funcs: Builder, mode: str) -> None:
    """What a function computes is told from what it waits for."""
    burns = _cost(funcs, f"mode: {mode}, function: 'm:burns'")
    sleeps = _cost(funcs, f"mode: {mode}, function: 'm:sleeps'")
    carried = set() if mode == "thread" else {"arguments_bytes"}
    assert burns.keys() - {"import_s", "peak_memory_bytes"} == (
        OF_A_FUNCTION | SWITCHES | ALWAYS | {"result_bytes"} | carried
    )
    assert burns["cpu_s"] >= 0.05
    assert burns["wall_s"] >= burns["cpu_s"] * 0.99
    assert sleeps["wall_s"] >= 0.05
    assert sleeps["cpu_s"] < 0.02
    assert sleeps["cpu_share"] < 0.5
    assert sleeps["voluntary_switches"] >= 1


@pytest.mark.parametrize("mode", ["thread", "process"])
def test_threads_of_a_function(funcs: Builder, mode: str) -> None:
    """What its threads compute, and how often they wait, is counted with a function."""
    burns = _cost(funcs, f"mode: {mode}, function: 'm:burns_apart'")
    assert burns["cpu_s"] >= 0.1
    waits = _cost(funcs, f"mode: {mode}, function: 'm:waits_apart'")
    assert waits["voluntary_switches"] >= 40


@pytest.mark.parametrize("mode", FUNCTION_MODES)
def test_import_is_told_apart(funcs: Builder, mode: str) -> None:
    """The import of a module belongs to the start."""
    cost = _cost(funcs, f"mode: {mode}, function: 'slow:f'")
    assert cost["import_s"] >= 0.05
    assert cost["startup_s"] >= cost["import_s"]
    assert cost["wall_s"] < 0.05


@pytest.mark.parametrize("task", [
    "mode: process, function: 'm:holds'",
    "mode: subprocess, command: [python3, -c, 'bytearray(90_000_000)']",
    "mode: subprocess, program: m_main.py, start: warm",
])  # fmt: skip
def test_peak_of_a_process(funcs: Builder, task: str) -> None:
    """A process has a peak of its own."""
    funcs.file("m_main.py", "bytearray(90_000_000)")
    assert 90e6 < _cost(funcs, task)["peak_memory_bytes"] < 200e6


def test_what_a_mode_cannot_know_is_absent(funcs: Builder) -> None:
    """Nothing is guessed: no peak of a thread, no start of a program, no peak below orch's own."""
    thread = _cost(funcs, "mode: thread, function: 'm:holds'")
    program = _cost(funcs, "mode: subprocess, command: [sleep, '0.05']")
    assert "peak_memory_bytes" not in thread
    assert program.keys() == (
        {"wall_s", "cpu_s", "cpu_share", "arguments_bytes", "result_bytes"} | SWITCHES | ALWAYS
    )
    assert program["arguments_bytes"] == len("sleep 0.05 ")
    assert program["wall_s"] >= 0.05
    assert program["cpu_s"] < 0.05


def test_bytes_of_result_and_output(funcs: Builder) -> None:
    """What a task returns is counted as JSON, what it prints as it is."""
    cost = _cost(funcs, "mode: thread, function: 'm:talks'")
    assert (cost["result_bytes"], cost["output_bytes"]) == (6, 5)


def test_bytes_of_arguments(funcs: Builder) -> None:
    """What is carried to a process is counted as JSON."""
    funcs.module("def f(*args, **kwargs): pass")
    cost = _cost(funcs, "mode: process, function: 'm:f', args: [1, two], kwargs: {a: é}")
    assert cost["arguments_bytes"] == len(json.dumps([1, "two"]) + json.dumps({"a": "é"}))


def test_share_of_the_gil(funcs: Builder) -> None:
    """What a function holds of the GIL is told while it runs alone, and shared beside others."""
    funcs.module(
        """
        import hashlib, time

        def loops():
            until = time.thread_time() + 0.5
            while time.thread_time() < until:
                pass

        def sleeps():
            time.sleep(1)
        """,
        "gil",
    )
    funcs.tasks(
        """
        loops: {function: 'gil:loops'}
        sleeps: {function: 'gil:sleeps', needs: [loops]}
        one: {function: 'gil:loops', needs: [sleeps]}
        two: {function: 'gil:loops', needs: [sleeps]}
        """,
        "defaults: {mode: thread}",
    )
    cost = {name: task["cost"] for name, task in funcs.run("--json").tasks.items()}
    idle = cost["sleeps"]["gil_share"]
    assert cost["loops"]["gil_share"] > idle + 0.2
    assert cost["loops"]["gil_longest_s"] > 0.001
    assert "gil_taken_share" not in cost["loops"]
    assert cost["one"]["gil_taken_share"] > idle + 0.2


HOLDERS = """
    import threading, time
    enough = threading.Event()

    def hold():
        while not enough.is_set():
            sum(range(2_000_000))

    def leave():
        threading.Thread(target=hold, daemon=True).start()

    def nap():
        time.sleep(0.5)
        enough.set()
"""


@pytest.mark.parametrize("holder", [
    "function: 'holders:hold', timeout: 0.1, grace: 0.1, allow_failure: true",
    "function: 'holders:leave'",
])  # fmt: skip
def test_beside_a_thread_that_goes_on(funcs: Builder, holder: str) -> None:
    """Who runs beside a thread that was given up, or left behind, is not said to hold the GIL."""
    funcs.module(HOLDERS, "holders")
    funcs.tasks(
        f"""
        holder: {{{holder}}}
        nap: {{function: 'holders:nap', needs: [holder]}}
        """,
        "defaults: {mode: thread}\nlimits: {threads: 1}",
    )
    cost = funcs.run("--json").tasks["nap"]["cost"]
    assert not cost.keys() & {"gil_share", "gil_longest_s"}
    assert cost["gil_taken_share"] > 0.2


def test_waiting_for_a_slot(funcs: Builder) -> None:
    """An attempt that could have started earlier has waited."""
    funcs.tasks(
        """
        a: {mode: subprocess, command: [sleep, '0.1'], priority: 1}
        b: {mode: subprocess, command: [sleep, '0']}
        """,
        "limits: {processes: 1}",
    )
    tasks = funcs.run("--json").tasks
    assert tasks["a"]["cost"]["waited_s"] < 0.1 <= tasks["b"]["cost"]["waited_s"]


def test_a_failure_has_its_cost(funcs: Builder) -> None:
    """What failed has taken something, too; what was never begun has not."""
    funcs.tasks(
        """
        a: {mode: thread, function: 'm:fails'}
        b: {mode: subprocess, command: [no-such-program]}
        c: {mode: thread, function: 'm:burns', needs: [a]}
        """
    )
    tasks = funcs.run("--json").tasks
    assert tasks["a"]["cost"]["wall_s"] >= 0.01
    assert tasks["b"]["cost"].keys() == ALWAYS
    assert tasks["c"]["cost"] is None


@pytest.mark.parametrize("leaves", [False, True])
def test_a_process_that_is_cut_off(job: Builder, leaves: bool) -> None:
    """Of a function whose process is killed, or leaves, start and import are no part either."""
    job.module(
        """
        import os, time

        def compute(seconds):
            until = time.thread_time() + seconds
            while time.thread_time() < until:
                pass

        compute(0.4)

        def hangs(gate, leaves):
            compute(0.2)
            with open(gate, "w") as file:
                file.write("x")
            if leaves:
                os._exit(3)
            time.sleep(60)
        """
    )
    gate = job.gate("gate")
    job.tasks(f"a: {{mode: process, function: 'm:hangs', args: [gate, {str(leaves).lower()}]}}")
    running = job.start()
    gate.wait()
    if not leaves:
        running.signal(signal.SIGINT)
    running.finish()
    task = job.orch("show", "--json").tasks["a"]
    cost = task["cost"]
    assert cost["startup_s"] >= cost["import_s"] >= 0.4
    assert cost["wall_s"] * 1.05 >= cost["cpu_s"] >= 0.19
    assert cost["cpu_s"] < 0.4  # without what the import has computed
    assert cost["wall_s"] + cost["startup_s"] <= task["duration_s"]
    assert cost["cpu_share"] == pytest.approx(cost["cpu_s"] / cost["wall_s"], abs=1e-3)


@pytest.mark.parametrize("fails", [False, True])
def test_a_process_that_does_not_come_to_its_function(job: Builder, fails: bool) -> None:
    """What was never called took nothing; what its process held is known all the same."""
    job.module(
        f"""
        import time
        with open("gate", "w") as file:
            file.write("x")
        {"raise ValueError" if fails else "time.sleep(60)"}
        """
    )
    gate = job.gate("gate")
    job.tasks("a: {mode: process, function: 'm:f'}")
    running = job.start()
    gate.wait()
    if not fails:
        running.signal(signal.SIGINT)
    running.finish()
    cost = job.orch("show", "--json").tasks["a"]["cost"]
    assert cost.keys() == ALWAYS | {"wall_s", "arguments_bytes", "peak_memory_bytes"}
    assert cost["wall_s"] == 0


def test_instances_are_added_up(funcs: Builder) -> None:
    """The cost of a task with instances is that of all of them."""
    funcs.tasks("a: {mode: process, function: 'm:sleeps', foreach: {i: [1, 2, 3]}}")
    task = funcs.run("--json").tasks["a"]
    each = [one["cost"] for one in task["instances"].values()]
    assert task["cost"]["wall_s"] == pytest.approx(sum(cost["wall_s"] for cost in each), abs=1e-5)
    assert task["cost"]["peak_memory_bytes"] == max(cost["peak_memory_bytes"] for cost in each)


def test_shares_and_peaks_are_not_added_up(job: Builder) -> None:
    """Of instances the longest hold counts, and of shares that of all their time."""
    job.module(
        """
        import time

        def mixed(seconds):
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                sum(range(500_000))
            time.sleep(0.3)
        """
    )
    job.tasks(
        "a: {mode: thread, function: 'm:mixed', args: ['{{ item }}'], foreach: [0.2, 0.9, 0.2]}",
        "limits: {threads: 1}",
    )
    task = job.run("--json").tasks["a"]
    whole, each = task["cost"], [one["cost"] for one in task["instances"].values()]
    assert whole["gil_longest_s"] == max(cost["gil_longest_s"] for cost in each)
    for key in ("gil_share", "cpu_share"):
        held = sum(cost[key] * cost["wall_s"] for cost in each)
        assert whole[key] == pytest.approx(held / whole["wall_s"], abs=1e-4)
    assert "gil_taken_share" not in whole


def test_the_same_everywhere(funcs: Builder) -> None:
    """The event, the document at the end, and that of ``orch show`` agree."""
    funcs.tasks("a: {mode: process, function: 'm:sleeps'}")
    (ended,) = [e for e in funcs.run("--events").events if e["event"] == "ended"]
    cost = funcs.orch("show", "--json").tasks["a"]["cost"]
    assert ended["cost"].items() <= cost.items()
    line = funcs.orch("show").out.splitlines()[-1]
    assert f"{show(cost['cpu_s'])}  {cost['peak_memory_bytes'] / 2**20:.0f} MiB" in line
