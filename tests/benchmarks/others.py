"""Other tools that run tasks, as far as they are installed: ``make bench-peers`` gets those it can.

Each from the package registry stands in an environment of its own below ``.venv/peers``.
"""

import shutil
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

PLACE = Path(sys.executable).parent.parent / "peers"


class Other(NamedTuple):
    """A tool: its package, if it is one of the registry's, its command, and job files for it.

    *files* takes how often ``/bin/true`` is to be run and returns the files; *args* come behind the
    command, and run two at once.
    """

    name: str
    package: str | None
    command: str
    files: Callable[[int], dict[str, str]]
    args: tuple[str, ...]

    def path(self) -> str | None:
        """Return where its command is; None where it is not installed."""
        own = PLACE / self.name / "bin" / self.command
        return str(own) if own.exists() else shutil.which(self.command)


def _make(count: int) -> dict[str, str]:
    names = " ".join(f"t{i}" for i in range(count))
    return {"Makefile": f"all: {names}\n.PHONY: all {names}\n{names}:\n\t@/bin/true\n"}


def _ninja(count: int) -> dict[str, str]:
    edges = "".join(f"build t{i}: run\n" for i in range(count))
    return {"build.ninja": f"rule run\n  command = /bin/true\n{edges}"}


def _just(count: int) -> dict[str, str]:
    recipes = "".join(f"t{i}:\n    @/bin/true\n" for i in range(count))
    return {"justfile": f"all: {' '.join(f't{i}' for i in range(count))}\n{recipes}"}


def _task(count: int) -> dict[str, str]:
    tasks = "".join(f"  t{i}: {{cmds: [/bin/true]}}\n" for i in range(count))
    deps = ", ".join(f"t{i}" for i in range(count))
    return {"Taskfile.yml": f"version: '3'\ntasks:\n  default: {{deps: [{deps}]}}\n{tasks}"}


def _doit(count: int) -> dict[str, str]:
    return {"dodo.py": (
        "DOIT_CONFIG = {'verbosity': 0}\n\ndef task_all():\n"
        f"    for i in range({count}):\n"
        "        yield {'name': str(i), 'actions': ['/bin/true']}\n"
    )}  # fmt: skip


def _parallel(count: int) -> dict[str, str]:
    return {"list": "".join(f"{i}\n" for i in range(count))}


OTHERS = (
    Other("make", None, "make", _make, ("-s", "-j2")),
    Other("ninja", "ninja", "ninja", _ninja, ("--quiet", "-j2")),
    Other("just", "rust-just", "just", _just, ()),
    Other("go-task", "go-task-bin", "task", _task, ("--silent", "-C", "2")),
    Other("doit", "doit", "doit", _doit, ("-n", "2", "-P", "thread")),
    Other("parallel", None, "parallel", _parallel, ("-j2", "/bin/true", "::::", "list")),
)
MODULES = ("numpy", "pandas")  # for programs that import them


def installed() -> list[tuple[Other, str]]:
    """Return the tools that there are, each with its command."""
    return [(other, path) for other in OTHERS if (path := other.path()) is not None]


def install() -> int:
    """Install what the registry has, and what benchmarks import; tell what could not be had."""
    failed = 0
    for other in OTHERS:
        if other.package is not None:
            folder = PLACE / other.name
            venv.create(folder, with_pip=True)
            failed += not _pip(str(folder / "bin" / "python"), other.package)
    for module in MODULES:
        failed += not _pip(sys.executable, module)
    return 1 if failed else 0


def _pip(python: str, package: str) -> bool:
    argv = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", package]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    said = "installed" if done.returncode == 0 else "not to be had"
    sys.stdout.write(f"{package}: {said}\n")
    return done.returncode == 0


if __name__ == "__main__":
    sys.exit(install())
