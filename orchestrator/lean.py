"""Modules of Python's own without what they bring along.

``signal`` and ``socket`` make enumerations, ``sqlite3`` takes ``datetime`` in, ``queue`` what is
for threads, ``locale`` regular expressions. What they wrap is all that orch needs, and a third of
Python's own start is saved. Where an implementation has it otherwise, the whole ones serve as well.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import locale
    import queue
    import signal
    import socket
    import sqlite3
else:

    def __getattr__(name):
        """Import one of them when it is first asked for."""
        if name not in __all__:
            raise AttributeError(name)
        try:
            module = __import__(f"_{name}")
        except ImportError:
            module = __import__(name)
        globals()[name] = module
        return module


__all__ = ["locale", "queue", "signal", "socket", "sqlite3"]
