"""What was found out about the user's modules, and whether it still holds.

To look into a module without importing it costs more than all the rest of a start. What was found
holds as long as the file is the same, and nothing on the way to it has taken its place.
"""

from __future__ import annotations

import os
from _imp import extension_suffixes

from orchestrator.functions import path_with
from orchestrator.records import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class Facts(Struct):
    """Calls that are sound, and the files of modules, each with its state then; plain data.

    A call is its function, what queues join, and how many arguments it has under which names.
    """

    calls: dict[tuple[Any, ...], bool] = {}
    files: dict[str, tuple[str, tuple[int, int, int]]] = {}
    sure: dict[str, str] = {}  # files that were looked at by now
    grew: bool = False

    def is_sound(self, call: tuple[Any, ...], root: str) -> bool:
        """Tell whether *call* was found sound, and its module is what it was."""
        return call in self.calls and self.file(call[0].partition(":")[0], root)[0]

    def file(self, module: str, root: str) -> tuple[bool, str | None]:
        """Tell whether the file of *module* is known and what it was, and return it."""
        if module in self.sure:
            return True, self.sure[module]
        found = self.files.get(module)
        if found is None:
            return False, None
        path, state = found
        if _state(path) == state and not _is_hidden(module.partition(".")[0], path, root):
            self.sure[module] = path
            return True, path
        del self.files[module]
        for call in [call for call in self.calls if call[0].partition(":")[0] == module]:
            del self.calls[call]
        return False, None

    def learn(
        self, call: tuple[Any, ...] | None, module: str, find: Callable[[str], str | None]
    ) -> None:
        """Take note that *call* is sound, and of the file of *module* where it has one."""
        if module not in self.files:
            path = find(module)
            state = None if path is None else _state(path)
            if path is None or state is None:
                return
            self.files[module] = path, state
            self.sure[module] = path
        if call is not None:
            self.calls[call] = True
        self.grew = True


def _state(path: str) -> tuple[int, int, int] | None:
    """Return what changes when the file at *path* does."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _is_hidden(top: str, path: str, root: str) -> bool:
    """Tell whether module *top* may be found before it is found at *path*."""
    for folder in path_with(root):
        start = f"{folder}/{top}"
        if path.startswith(f"{start}/"):
            return False
        # before a module of that name come a package and, were it compiled, itself
        if os.path.exists(f"{start}/__init__.py") or any(
            os.path.exists(start + suffix) for suffix in extension_suffixes()
        ):
            return True
        if path == f"{start}.py":
            return False
        if os.path.exists(f"{start}.py") or os.path.isdir(start):
            return True
    return True
