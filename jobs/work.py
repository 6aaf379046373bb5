"""Work of two kinds, callable as functions and as a program: ``python -m jobs.work spin 1000``."""

import sys
import time
from itertools import pairwise
from typing import Any

from orchestrator import task


def spin(loops: int) -> int:
    """Compute in pure Python: on a standard CPython only one thread at a time can."""
    total = 0
    for number in range(loops):
        total = (total * 31 + number) % 1_000_003
    return total


def wait(seconds: float) -> float:
    """Wait, as for a disk, a network, another program: any number of threads can at once."""
    time.sleep(seconds)
    return seconds


def stamp() -> float:
    """Return the time on a clock that all processes of the machine share, in seconds."""
    return time.monotonic()


def table(stamps: dict[str, float], copies: int, cpus: int) -> dict[str, float]:
    """Print how long each group of tasks took; *stamps* are the times between them, in order."""
    names = list(stamps)
    took = {later: stamps[later] - stamps[earlier] for earlier, later in pairwise(names)}
    rows: list[tuple[str, ...]] = [("", "compute", "wait")]
    rows += [
        (mode, f"{took[f'compute_{mode}']:.2f} s", f"{took[f'wait_{mode}']:.2f} s")
        for mode in ("thread", "process", "subprocess")
    ]
    print(f"{copies} copies at once on {cpus} CPUs, until the last has ended:\n")
    for row in rows:
        print(f"  {row[0]:<12}{row[1]:>10}{row[2]:>10}")
    gain = took["compute_thread"] / took["compute_process"]
    print(
        f"\nComputing in threads took {gain:.1f} times as long as in processes: threads take turns "
        "on the GIL.\nWaiting costs a thread nothing; a process also costs its start."
    )
    task.log.info(
        "thread or process", **{name: round(seconds, 3) for name, seconds in took.items()}
    )
    return took


def main(arguments: list[str]) -> Any:
    """Do what the arguments say: the same functions, as a program."""
    kind, amount = arguments
    return spin(int(amount)) if kind == "spin" else wait(float(amount))


if __name__ == "__main__":
    main(sys.argv[1:])
