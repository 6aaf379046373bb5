"""``python -m tests.benchmarks [NAME ...]``: ratios against what else does the same, side by side.

Everything is measured from outside, each program in a process of its own, the rounds of all that is
compared interleaved; a ratio is taken within a round, so that a machine that slows down slows both.
"""

import argparse
import json
import os
import platform
import shutil
import sys
import tempfile
import time
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.benchmarks.measuring import Lab, Row, page, table
from tests.benchmarks.rows import BENCHMARKS

MARK = "<!-- the last run -->\n"


def main() -> int:
    """Measure what is asked for, print one table, write JSON where it is wanted."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"{', '.join(BENCHMARKS)}; all where none is given"
    )
    parser.add_argument("--rounds", type=int, help="rounds of each (default: by how long it takes)")
    parser.add_argument("--json", metavar="FILE", help="write every round's figures to FILE")
    parser.add_argument("--page", metavar="FILE", help="put the table into FILE, below its mark")
    options = parser.parse_args()
    if unknown := [name for name in options.names if name not in BENCHMARKS]:
        parser.error(f"unknown {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    if options.rounds is not None and options.rounds < 1:
        parser.error("--rounds is at least 1")
    head = {
        "python": platform.python_version(),
        "orch": version("orch-launcher"),
        "cpus": len(os.sched_getaffinity(0)),
        "machine": f"{platform.system()} {platform.release()} {platform.machine()}",
        "load": os.getloadavg()[0],
    }
    _say(_line(head))
    began = time.monotonic()
    rows: list[Row] = []
    faults: list[str] = []
    notes: list[str] = []
    with tempfile.TemporaryDirectory(prefix="orch-bench-") as folder:
        for name in options.names or BENCHMARKS:
            root = Path(folder, name)
            root.mkdir()
            lab = Lab(root, Path(folder, "byte_code"), options.rounds)
            try:
                rows += BENCHMARKS[name](lab)
            except RuntimeError as error:
                faults.append(f"{name}: {error}")
            notes += lab.notes
            shutil.rmtree(root)
            _progress(f"{name}: {time.monotonic() - began:.0f} s")
    _progress("")
    _say(table(rows))
    for note in notes:
        _say(note)
    for fault in faults:
        _say(f"not measured: {fault}")
    _say(f"measured in {time.monotonic() - began:.0f} s")
    if options.json:
        found = {**head, "notes": notes, "faults": faults}
        found["rows"] = [asdict(row) for row in rows]
        Path(options.json).write_text(json.dumps(found, indent=1) + "\n")
    if options.page:
        _put(Path(options.page), [_line(head), *notes], page(rows))
    return 1 if faults else 0


def _line(head: dict[str, Any]) -> str:
    return (
        f"Python {head['python']}, orch {head['orch']}, {head['cpus']} CPUs, {head['machine']}, "
        f"load {head['load']:.1f}"
    )


def _put(path: Path, said: list[str], text: str) -> None:
    """Replace what stands below the mark."""
    kept, mark, _ = path.read_text().partition(MARK)
    lines = "".join(f"{line}.\n" for line in said)
    path.write_text(f"{kept}{mark}\n{lines}\n{text}")


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
