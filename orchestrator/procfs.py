"""Processes, as Linux shows them below /proc: who descends from whom, who carries a run's cookie.

Run as a file it is the guard of a run: see ``keeper``. It imports nothing of orch.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

KILL = 9
RUN_ID, PARENT_RUN_IDS = "ORCH_RUN_ID", "ORCH_PARENT_RUN_IDS"
TASK, ATTEMPT = "ORCH_TASK", "ORCH_ATTEMPT"
PATIENCE_S = 5.0  # with processes that KILL does not end: in a system call that does not return


def children(pid: int) -> list[int]:
    """Return the children of *pid* that the kernel knows of now."""
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children", encoding="ascii") as file:
                found += map(int, file.read().split())
    except OSError:
        if os.path.isdir(f"/proc/{pid}/task"):  # a kernel without CONFIG_PROC_CHILDREN
            return [child for child, parent in parents() if parent == pid]
    return found


def parents() -> Iterator[tuple[int, int]]:
    """Yield each process with its parent."""
    for pid in processes():
        if fields := stat(pid):
            yield pid, int(fields[1])


def stat(pid: int) -> list[str]:
    """Return the fields of *pid* after its name, from its state on; none where it is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()
    except OSError:
        return []


def processes() -> Iterator[int]:
    """Yield all processes."""
    with suppress(OSError):
        for name in os.listdir("/proc"):
            if name.isdigit():
                yield int(name)


def descendants(pid: int) -> Iterator[int]:
    """Yield all that descends from *pid*, parents first."""
    below = children(pid)
    while below:
        child = below.pop(0)
        yield child
        below += children(child)


def environment(pid: int) -> frozenset[bytes]:
    """Return what *pid* had in its environment when it began, as ``NAME=value``."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return frozenset(file.read().split(b"\0"))
    except OSError:
        return frozenset()


def carriers(run_id: str, *, tasks_only: bool = False) -> Iterator[int]:
    """Yield the processes with the cookie of the run in the environment that they began with.

    With *tasks_only* those that a task is, or has started: in a Python program that runs a job,
    what the program itself starts meanwhile has the run's id as well.
    """
    mine, outer = f"{RUN_ID}={run_id}".encode(), f"{PARENT_RUN_IDS}=".encode()
    for pid in processes():
        entries = environment(pid)
        ours = mine in entries or any(
            entry.startswith(outer) and run_id.encode() in entry for entry in entries
        )
        if ours and (not tasks_only or any(e.startswith(f"{TASK}=".encode()) for e in entries)):
            yield pid


def left_by(reaper: int, spared: int, marks: frozenset[bytes]) -> list[int]:
    """Return what an attempt has left: orphans that *reaper* got, and what descends from them.

    *marks* are in the environment of all that the attempt has started; *spared* is no orphan.
    """
    found: list[int] = []
    for pid in children(reaper):
        if pid != spared and marks <= environment(pid):
            found += [pid, *descendants(pid)]
    return found


def name_of(pid: int) -> str:
    """Return what ``ps`` calls *pid*."""
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return file.read().rstrip("\n")
    except OSError:
        return "?"


def group_of(leader: int) -> list[int]:
    """Return the processes in the group of *leader*, without it and without those that ended."""
    found = []
    for pid in processes():
        fields = stat(pid)
        if pid != leader and fields and int(fields[2]) == leader and not has_ended(pid):
            found.append(pid)
    return found


def kill_carriers(run_id: str, *, tasks_only: bool = False) -> None:
    """Kill all that carries the cookie of the run, but for this process and what it descends from.

    Processes that cleared their environment are not found.
    """
    spared = set(ancestors())
    due = time.monotonic() + PATIENCE_S
    while time.monotonic() < due:
        found = [p for p in carriers(run_id, tasks_only=tasks_only) if p not in spared]
        for pid in found:
            kill(pid, KILL)
        if all(map(has_ended, found)):
            return
        time.sleep(0.005)  # until the kernel is through with them


def ancestors() -> Iterator[int]:
    """Yield this process, its parent, and so on."""
    above, pid = dict(parents()), os.getpid()
    while pid:
        yield pid
        pid = above.get(pid, 0)


def has_ended(pid: int) -> bool:
    """Tell whether *pid* is gone, or waits for no more than its parent."""
    fields = stat(pid)
    return not fields or fields[0] in ("Z", "X")


def kill(pid: int, number: int) -> None:
    """Send signal *number* to *pid*, if it is there and ours."""
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def guard(descriptor: int, run_id: str) -> None:
    """Wait until nobody holds the other end of *descriptor*, and kill what the run has left.

    A byte that comes before says that nothing is left.
    """
    import signal  # noqa: PLC0415 - for the guard only

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    if not os.read(descriptor, 1):
        kill_carriers(run_id, tasks_only=True)


if __name__ == "__main__":
    guard(int(sys.argv[1]), sys.argv[2])
