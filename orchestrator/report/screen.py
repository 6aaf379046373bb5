"""The terminal: log lines above, below them what runs now, if it lasts."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TextIO


def wants_colour(descriptor: int) -> bool:
    """Tell whether colours may be written: to a terminal, unless ``NO_COLOR`` is set."""
    return os.isatty(descriptor) and not os.environ.get("NO_COLOR") and (
        os.environ.get("TERM") != "dumb"
    )  # fmt: skip


class Screen:
    """Where lines for people go; they stand above the progress while there is any."""

    def __init__(self, descriptor: int, *, colour: bool) -> None:
        self._descriptor, self.colour = descriptor, colour
        self._live: Any = None
        self._console: Any = None
        self._file: TextIO | None = None

    def write(self, data: bytes) -> None:
        """Write *data*, above the progress. Raises ``OSError``."""
        if self._live is None:
            while data:
                data = data[os.write(self._descriptor, data) :]
            return
        from rich.text import Text  # noqa: PLC0415 - imported already, with the progress

        text = data.decode("utf-8", "backslashreplace").rstrip("\n")
        self._console.print(Text.from_ansi(text), soft_wrap=True)

    def show(self, renderable: Any) -> None:
        """Show *renderable* in place of what was shown below the lines."""
        if self._live is None:
            self._begin()
        self._live.update(renderable, refresh=True)

    def _begin(self) -> None:
        from rich.console import Console  # noqa: PLC0415 - only a run that lasts pays for it
        from rich.live import Live  # noqa: PLC0415

        self._file = os.fdopen(os.dup(self._descriptor), "w", encoding="utf-8")
        self._console = Console(
            file=self._file, force_terminal=True, no_color=not self.colour, highlight=False
        )
        self._live = Live(
            console=self._console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start()

    def close(self) -> None:
        """Take the progress away."""
        live, self._live = self._live, None
        if live is not None:
            live.stop()
            assert self._file is not None
            self._file.close()
