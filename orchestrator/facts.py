"""What was found out about the user's modules, and whether it still holds.

To look into a module without importing it costs more than all the rest of a start. What was found
holds as long as the file is the same, and nothing on the way to it has taken its place.
"""

from __future__ import annotations

import os
import sys
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
    Modules of Python's own that have no source file change with Python only.
    """

    calls: dict[tuple[Any, ...], bool] = {}
    files: dict[str, tuple[str | None, tuple[int, int, int] | None]] = {}
    sure: dict[str, str | None] = {}  # files that were looked at by now
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
        top = module.partition(".")[0]
        if path is None:
            holds = not _has(root, top)
        else:
            holds = _state(path) == state and not _is_hidden(top, path, root)
        if holds:
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
            if state is None and (path or module.partition(".")[0] not in sys.stdlib_module_names):
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


def _has(folder: str, top: str) -> bool:
    """Tell whether there is anything in *folder* that can be imported as *top*."""
    start = f"{folder}/{top}"
    return os.path.isdir(start) or any(
        os.path.exists(start + suffix) for suffix in (".py", *extension_suffixes())
    )
