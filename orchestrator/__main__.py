"""``python -m orchestrator`` is ``orch``."""

import sys

if __name__ == "__main__":
    # `-m` puts the working directory first, and a `queue.py` there would stand in for Python's own
    if not sys.flags.safe_path:
        del sys.path[0]
    from orchestrator.cli import main

    main()
