"""What orch promises: the numbers that tests are marked with, and the table of ``make faults``."""

GROUPS = {
    "A": "record and resume",
    "B": "processes",
    "C": "threads",
    "D": "output, signals, streams",
    "E": "security",
}
PROMISES = {
    1: ("A", "a task runs until it has an outcome, and has one"),
    2: ("A", "kill -9 at any moment loses nothing finished"),
    3: ("A", "no torn state"),
    4: ("A", "a damaged journal is refused and left as it was"),
    5: ("A", "resume never runs the wrong command"),
    6: ("A", "liveness is a lock"),
    7: ("A", "disk full, read-only, no state directory"),
    8: ("A", "clock jumps"),
    9: ("B", "no orphans after kill -9"),
    10: ("B", "a grandchild that holds the output open"),
    11: ("B", "the whole group dies"),
    12: ("B", "TERM, then KILL after the grace"),
    13: ("B", "launch failures are outcomes"),
    14: ("B", "no descriptors, pids, memory, threads"),
    15: ("B", "killed by the kernel"),
    16: ("B", "as PID 1 of a container"),
    17: ("B", "no signal is blocked in a task"),
    18: ("B", "100,000 tasks, deep and wide"),
    19: ("C", "SystemExit, KeyboardInterrupt of a task"),
    20: ("C", "os._exit, segmentation fault in a thread"),
    21: ("C", "a stuck thread does not keep orch from ending"),
    22: ("C", "each thread task's output is its own; what it changes is put right"),
    23: ("C", "results that are not JSON, odd exceptions"),
    24: ("D", "no lost line"),
    25: ("D", "output of any shape and size"),
    26: ("D", "terminal escapes"),
    27: ("D", "a broken sink"),
    28: ("D", "closed stdin, stdout, stderr"),
    29: ("D", "signals"),
    30: ("E", "no code from YAML, no bombs"),
    31: ("E", "names, permissions, links"),
    32: ("E", "no shell"),
    33: ("E", "secrets"),
}


def table(results: dict[int, list[tuple[str, int, int]]]) -> list[str]:
    """Return the lines of the table: *results* are (test, tried, survived) by promise."""
    lines = []
    survived_all = 0
    for letter, what in GROUPS.items():
        lines += ["", f"{letter}. {what}"]
        for number, (group, title) in PROMISES.items():
            if group != letter:
                continue
            found = results.get(number, [])
            tried, survived = (sum(column) for column in list(zip(*found, strict=True))[1:]) if (
                found
            ) else (0, 0)  # fmt: skip
            survived_all += tried == survived > 0
            names = sorted({name for name, _, _ in found})
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            shown = f"{names[0]}{more}" if names else "no test"
            lines.append(f"{number:>4}  {title:<62} {tried:>7} {survived:>9}  {shown}")
    head = f"{'':>4}  {'promise':<62} {'tried':>7} {'survived':>9}  test"
    return [head, *lines, "", f"{survived_all} of {len(PROMISES)} promises kept"]
