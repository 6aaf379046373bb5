"""The held set: functions of all kinds, for which ``orch advise`` has to find the faster mode.

Its source is written beside a job file; nothing here is called by the benchmarks themselves.
"""

import hashlib
import re
import socket
import tempfile
import time
from pathlib import Path

NAMES = (
    "pure", "arrays", "hashes", "naps", "sockets", "files", "regex", "mix", "large", "short",
)  # fmt: skip


def pure(count: int = 1_500_000) -> int:
    """Compute in Python alone."""
    total = 0
    for i in range(count):
        total += i * i
    return total


def arrays() -> float:
    """Multiply matrices, which lets the GIL go."""
    import numpy as np  # noqa: PLC0415 - it need not be installed

    ones = np.ones((700, 700))
    for _ in range(8):
        found = ones @ ones
    return float(found[0, 0])


def hashes() -> str:
    """Hash large buffers, which lets the GIL go."""
    data = bytes(8_000_000)
    for _ in range(40):
        found = hashlib.sha256(data).hexdigest()
    return found


def naps() -> None:
    """Wait."""
    time.sleep(0.3)


def sockets() -> None:
    """Wait two hundred times, shortly."""
    left, right = socket.socketpair()
    for _ in range(200):
        left.send(b"x")
        right.recv(1)
        time.sleep(0.001)


def files() -> None:
    """Write files."""
    with tempfile.TemporaryDirectory() as folder:
        for i in range(100):
            Path(folder, str(i)).write_bytes(b"x" * 10_000)


def regex() -> int:
    """Search, which keeps the GIL for long."""
    text = "ab1c " * 200_000
    return sum(len(re.findall(r"[a-z]+\d", text)) for _ in range(4))


def mix() -> None:
    """Wait and compute in turns."""
    for _ in range(30):
        time.sleep(0.005)
        pure(20_000)


def large() -> list[str]:
    """Return a megabyte."""
    return ["x" * 90] * 10_000


def short() -> int:
    """Take no time at all."""
    return 1
