"""Inside a process or an interpreter of a task: call one function, leave its result, end.

For a process run as a file, by its path, so that no name in the working directory stands in for a
module of orch. It imports as little as it can: each attempt pays for it.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

RESULT, BEGUN = "result", "begun"


def main(letter: int, begun: Callable[[], None] | None = None) -> int:
    """Do what the file behind descriptor *letter* says and write there how it went, as a last line.

    *begun* is called when the function has been imported and is about to be called; without it the
    process is the function's own, and a line before the last says so, since it may be killed before
    it can tell more.
    """
    os.set_inheritable(letter, False)
    with open(letter, "r+b", closefd=False) as file:
        file.seek(0)
        args, kwargs, function, root, joint, launched = json.loads(file.read())
        functions, Meter, ends = functions_of(joint)  # noqa: N806 - a class
        functions.place_root(root)
        pid = os.getpid()
        meter = Meter(launched, whole=begun is None)

        def begins() -> None:
            if begun is not None:
                begun()
            else:
                file.write(f"\n{json.dumps([BEGUN, *meter.until_here()])}".encode())
                file.flush()
            meter.begins()

        try:
            outcome, output, failure = functions.call(function, args, kwargs, ends, begins)
            if os.getpid() != pid:
                os._exit(0)  # the function forked, and came back twice
            cost = meter.cost()
            if failure is not None and failure.traceback:
                with suppress(Exception):
                    sys.stderr.write(failure.traceback)
            for name in ("stdout", "stderr"):
                with suppress(Exception):  # the task closed it, or put something else there
                    getattr(sys, name).flush()
        finally:
            if ends is not None:  # an interpreter waits for the thread that writes to have ended
                ends.finish()
        file.write(f"\n{json.dumps([RESULT, outcome, output, failure, cost])}".encode())
    return 0 if outcome == "ok" else 1


def functions_of(joint: Any) -> tuple[Any, Any, Any]:
    """Import ``orchestrator.functions`` from where this file is, the meter, the ends of queues."""
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    sys.path.insert(0, os.path.dirname(package))
    try:
        from orchestrator import functions  # noqa: PLC0415 - found by the line above
        from orchestrator.meter import Meter  # noqa: PLC0415

        if joint is None:
            return functions, Meter, None
        from orchestrator.queues.child import Joint, PipeEnds  # noqa: PLC0415 - few need it

        return functions, Meter, PipeEnds(Joint(*joint))
    finally:
        sys.path.pop(0)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
