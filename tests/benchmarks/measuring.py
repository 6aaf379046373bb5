"""Timing whole processes, in interleaved rounds, and the table of what came of it."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

Measure = Callable[[], float]
HEAD = ["what", "divided by", "median ratio", "goal", "min-max", "it", "the other"]
_BIN = Path(sys.executable).parent / "orch"
ORCH = (str(_BIN),) if _BIN.exists() else (sys.executable, "-m", "orchestrator")
# What holds for whoever measures must not count: PYTHONDONTWRITEBYTECODE alone costs 70 ms a start.
_ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.startswith(("ORCH_", "PYTHON"))}


class Spent(NamedTuple):
    """What a process took."""

    seconds: float
    peak_mib: float


@dataclass
class Row:
    """One line of the table; *ours* and *theirs* hold a figure a round.

    *goal* is the ratio to reach: at most, or where it is negative at least.
    """

    name: str
    over: str
    ours: list[float]
    theirs: list[float] = field(default_factory=list)
    unit: str = "µs"
    goal: float | None = None

    @property
    def ratios(self) -> list[float]:
        """Ours by theirs, round by round."""
        return [ours / theirs for ours, theirs in zip(self.ours, self.theirs, strict=False)]

    def cells(self) -> list[str]:
        """Return the line's cells."""
        ratios = self.ratios
        goal = ""
        if self.goal is not None:
            goal = f"≤ {self.goal:.2g}" if self.goal > 0 else f"≥ {-self.goal:.2g}"
        absolute = f"{_short(median(self.ours))} {self.unit}"
        if not ratios:
            span = f"{_short(min(self.ours))}-{_short(max(self.ours))} {self.unit}"
            return [self.name, self.over, "", goal, span, absolute, ""]
        return [
            self.name, self.over, _short(median(ratios)), goal,
            f"{_short(min(ratios))}-{_short(max(ratios))}", absolute,
            f"{_short(median(self.theirs))} {self.unit}",
        ]  # fmt: skip


def table(rows: Sequence[Row]) -> str:
    """Return *rows* in columns."""
    head = HEAD
    lines = [head, *(row.cells() for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    text = []
    for line in lines:
        cells = [
            cell.ljust(width) if i < 2 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        text.append("  ".join(cells).rstrip())
    text.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(text)


def page(rows: Sequence[Row]) -> str:
    """Return *rows* as a table in Markdown."""
    lines = [HEAD, [":--", ":--", *["--:"] * (len(HEAD) - 2)], *(row.cells() for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _short(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


class Lab:
    """A directory of its own for job files and modules, and the programs that are run in it."""

    def __init__(self, root: Path, byte_code: Path, rounds: int | None) -> None:
        """Work in *root*; Python keeps its byte code in *byte_code*, not in the checkout."""
        self.root, self._rounds = root, rounds
        self._environment = {**_ENVIRONMENT, "PYTHONPYCACHEPREFIX": str(byte_code)}
        self.notes: list[str] = []

    def write(self, name: str, parts: str | Iterator[str]) -> Path:
        """Write a file and return its path."""
        path = self.root / name
        with path.open("w", encoding="utf-8") as file:
            file.writelines([parts] if isinstance(parts, str) else parts)
        return path

    def spent(self, *argv: str, folder: Path | None = None) -> Spent:
        """Run a program to its end, its streams into files. Raises ``RuntimeError``."""
        with (self.root / "out").open("wb") as out, (self.root / "err").open("wb") as err:
            began = time.perf_counter()
            process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                cwd=folder or self.root,
                env=self._environment,
            )  # fmt: skip
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode == 0:
            return Spent(seconds, usage.ru_maxrss / 1024)
        said = (self.root / "err").read_text(errors="replace").strip()[-400:]
        raise RuntimeError(f"{' '.join(argv)[:200]}: exit status {process.returncode}: {said}")

    def orch(self, job: Path, *options: str, keep: bool = False) -> Spent:
        """Run a job, and remove what it left behind, unless its draft is to be kept."""
        spent = self.spent(*ORCH, "run", str(job), *options)
        if not keep:
            shutil.rmtree(self.root / ".orch")
        return spent

    def told(self, *args: str) -> Any:
        """Run orch and return the JSON that it prints; the draft and the records are kept."""
        self.spent(*ORCH, *args)
        return json.loads((self.root / "out").read_text())

    def idle(self, job: Path, seconds: float) -> tuple[float, float, float]:
        """Run a job whose programs sleep, and watch it from its third second on.

        Return what orch's own processes took of processors, what they hold of memory in MiB, and
        for how many seconds they were watched.
        """
        process = subprocess.Popen(
            [*ORCH, "run", str(job), "-q"], cwd=self.root, env=self._environment
        )
        time.sleep(3)  # it has started all of them by then
        own = [process.pid]
        for _ in range(2):  # keeper, watchdog, orch
            below = Path(f"/proc/{own[-1]}/task/{own[-1]}/children")
            own.append(int(below.read_text().split()[0]))
        began, before_s = time.monotonic(), sum(map(_cpu_s, own))
        time.sleep(seconds - 5)
        watched_s, spent_s = time.monotonic() - began, sum(map(_cpu_s, own)) - before_s
        held_mib = sum(map(_held_mib, own))
        if process.wait() != 0:
            raise RuntimeError(f"orch run {job}: exit status {process.returncode}")
        shutil.rmtree(self.root / ".orch")
        return spent_s, held_mib, watched_s

    def python(self, program: Path | str, *args: object) -> Spent:
        """Run a Python program, or a text of one, with the interpreter that runs this one."""
        how = (str(program),) if isinstance(program, Path) else ("-c", program)
        return self.spent(sys.executable, *how, *map(str, args))

    def answers(self, program: Path, *args: object) -> list[float]:
        """Run a Python program that measures itself and prints figures, a line each."""
        self.python(program, *args)
        return [float(line) for line in (self.root / "out").read_text().split()]

    def rounds(self, usual: int, cases: Mapping[str, Measure]) -> dict[str, list[float]]:
        """Measure all *cases* once a round, in another order each time."""
        names = list(cases)
        found: dict[str, list[float]] = {name: [] for name in names}
        for number in range(self._rounds or usual):
            shift = number % len(names)
            for name in names[shift:] + names[:shift]:
                found[name].append(cases[name]())
        return found


def _cpu_s(pid: int) -> float:
    """Return what all threads of a process took so far, to the nanosecond."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9


def _held_mib(pid: int) -> float:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(text.partition("\nPss:")[2].split()[0]) / 1024


def per_task_us(
    found: Mapping[str, list[float]], whole: str, empty: str, count: int
) -> list[float]:
    """Return µs a task: each round of *whole* less the median of *empty*.

    The median, because the noise of one start-up is as large as hundreds of tasks.
    """
    base = median(found[empty])
    return [(seconds - base) / count * 1e6 for seconds in found[whole]]
