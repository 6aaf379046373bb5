"""A guard where there is no keeper: for orch as a library, and with ``--no-keeper``."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress

from orchestrator import descriptors, procfs
from orchestrator.tender import DONE


class Guard:
    """A process beside this one that ends what tasks have started, should this one be killed."""

    def __init__(self, run_id: str) -> None:
        """Start it. Raises ``OSError``."""
        read, write = os.pipe()
        self._write = descriptors.hold(write)  # or its end is not seen while a forked child lives
        env = {k: v for k, v in os.environ.items() if not k.startswith("ORCH_")}
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", procfs.__file__, str(read), run_id],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                pass_fds=(read,),
                env=env,
                cwd="/",
            )
        except OSError:
            descriptors.close(self._write)
            raise
        finally:
            os.close(read)

    def close(self) -> None:
        """Send it away."""
        with suppress(OSError):
            os.write(self._write, DONE)
        descriptors.close(self._write)
        self._process.wait()
