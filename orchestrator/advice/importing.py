"""How long the modules of a job's functions take to import, in a process like one that runs them.

Run as a file. Reads ``[root, [module, …]]`` from stdin and writes the seconds of each by its name
to stdout, both as ``marshal`` has it; what one has imported takes the next one no time. Nothing may
be imported here that a run has not imported: it would be missing in what is measured.
"""

import marshal
import os
import sys
from time import perf_counter


def main() -> None:
    """Answer on stdout, whatever the imported modules print."""
    root, modules = marshal.load(sys.stdin.buffer)  # noqa: S302 - from who started this
    answer = os.dup(1)
    os.dup2(2, 1)
    package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    sys.path.insert(0, package)
    # what a run has imported, too, before it calls a function
    from orchestrator import functions, running, streams, surroundings, tender  # noqa: F401, PLC0415
    from orchestrator.runners import threads  # noqa: F401, PLC0415

    sys.path.pop(0)
    if sys.platform == "linux":
        tender.die_with_parent()
    functions.place_root(root)
    took = {}
    for module in modules:
        before = perf_counter()
        try:
            __import__(module)
        except BaseException:  # noqa: BLE001, S112 - the modules may raise anything: told elsewhere
            continue
        took[module] = perf_counter() - before
    sys.stdout.flush()
    os.write(answer, marshal.dumps(took))
    os._exit(0)  # threads and exit handlers of the modules are nobody's business here


if __name__ == "__main__":
    main()
