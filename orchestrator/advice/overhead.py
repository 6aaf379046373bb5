"""What a run takes besides the work of its tasks: until it begins, and until it can fork."""

from __future__ import annotations

import marshal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from time import monotonic
from typing import Any

from orchestrator.advice import importing
from orchestrator.events import Started

# What is taken for granted until it is seen, for a file that orch knows.
_BEGINS_S = 0.03
_WITH_PROCESSES_S = 0.015  # is added where there are processes
_SERVER_S = 0.05
_TIMES = 2
_LONG_S = 30.0  # no import takes such a time
_ENOUGH_S = 1.0


@dataclass(slots=True)
class Overhead:
    """Seconds that were seen, a value for each run.

    *begins* passed until the first task was started, by whether there were processes; *servers*
    from then on until the server was there that forks them. *imports* are those of modules in
    a process that runs functions, one after the other, where that was measured.
    """

    begins: dict[bool, list[float]] = field(default_factory=dict)
    servers: list[float] = field(default_factory=list)
    imports: dict[str, float] = field(default_factory=dict)

    def begins_s(self, *, processes: bool) -> float:
        """Return what passes until the first task of a run is started.

        Processes never make that shorter: where it was seen so, the machine was not at rest.
        """
        if seen := self.begins.get(processes):
            beside = self.begins.get(True)
            return median(seen) if processes or not beside else min(median(seen), median(beside))
        other = self.begins.get(not processes)
        if other is None:
            return _BEGINS_S + _WITH_PROCESSES_S * processes
        shift_s = _WITH_PROCESSES_S if processes else -_WITH_PROCESSES_S
        return max(0.0, median(other) + shift_s)

    @property
    def server_s(self) -> float:
        """What passes from then on until the first process can be forked."""
        return median(self.servers) if self.servers else _SERVER_S

    def begun(self, events: Sequence[Any], *, processes: bool) -> None:
        """Take in when the first task of a run was started."""
        first = min((event.at for event in events if isinstance(event, Started)), default=None)
        if first is not None:
            self.begins.setdefault(processes, []).append(first)

    def learn(self, seen: Overhead) -> None:
        """Take over what *seen* knows."""
        self.begins |= {key: value for key, value in seen.begins.items() if value}
        self.servers = seen.servers or self.servers
        self.imports |= seen.imports


def of_imports(
    root: str, environment: Mapping[str, str], modules: Sequence[str]
) -> dict[str, float]:
    """Return how long *modules* take to import, one after the other, in the job's *environment*."""
    argv = [sys.executable, "-P", importing.__file__]
    asked = marshal.dumps([root, list(modules)])
    seen: dict[str, list[float]] = {}
    enough = monotonic() + _ENOUGH_S
    for _ in range(_TIMES):
        try:
            said = subprocess.run(
                argv, input=asked, check=True, timeout=_LONG_S, stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL, cwd=root, env=environment,
            )  # fmt: skip
            answer = marshal.loads(said.stdout)  # noqa: S302 - from the program above
        except (subprocess.SubprocessError, OSError, EOFError, ValueError, TypeError):
            break
        for module, seconds in answer.items():
            seen.setdefault(module, []).append(seconds)
        if monotonic() > enough:
            break
    return {module: min(seconds) for module, seconds in seen.items()}
