"""``make picture``: docs/advise.svg, a terminal in which ``orch advise`` has just been called."""

import os
import pty
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

TOP = Path(__file__).parent.parent.parent
ORCH = str(Path(sys.executable).parent / "orch")
WIDTH = "110"  # of the terminal, in columns
FILE = "configs/thread_or_process.yaml"
COMMANDS = (("run", FILE, "-q"), ("advise", FILE))


def main() -> None:
    """Run the commands in a copy of the jobs and draw what the last one shows."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("configs", "jobs"):
            shutil.copytree(TOP / name, Path(folder, name))
        for _ in range(2):
            subprocess.run([ORCH, *COMMANDS[0]], cwd=folder, check=True)
        shown = "".join(f"$ orch {' '.join(command)}\n" for command in COMMANDS)
        text = Text.from_ansi(shown + _on_a_terminal([ORCH, *COMMANDS[1]], folder).rstrip())
    width = max(line.cell_len for line in text.split())
    with Path(os.devnull).open("w") as nowhere:
        console = Console(record=True, width=width, file=nowhere, force_terminal=True)
        console.print(text)
        drawn = console.export_svg(title="thread or process?")
    drawn = re.sub(r"@font-face \{.*?\}\s*", "", drawn, flags=re.DOTALL)  # fonts of other hosts
    drawn = re.sub(r"<!-- .*? -->\s*", "", drawn)
    (TOP / "docs/advise.svg").write_text(drawn.replace("Fira Code", "Menlo, Consolas"))


def _on_a_terminal(argv: list[str], folder: str) -> str:
    """Return what a program writes to a terminal of its own."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        argv, cwd=folder, stdin=theirs, stdout=theirs, stderr=theirs,
        env={**os.environ, "COLUMNS": WIDTH},
    ) as process:  # fmt: skip
        os.close(theirs)
        data = b""
        try:
            while part := os.read(ours, 65536):
                data += part
        except OSError:  # the last one has left the terminal
            pass
        if process.wait() != 0:
            raise SystemExit(data.decode())
    os.close(ours)
    return data.decode().replace("\r\n", "\n")


if __name__ == "__main__":
    main()
