"""Every fenced block of the README and of the docs is executed, in the order in which it stands."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).parent.parent
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PAGES = ["README.md", "docs/job-file.md", "docs/running.md", "docs/advice.md"]


def blocks(page):
    """Return the language and text of each fenced block of *page*."""
    return BLOCK.findall((TOP / page).read_text(encoding="utf-8"))


def commands(text):
    """Return each command of a console block, what it should print, and its exit code."""
    found = []
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, expected = part.partition("\n")
        code = re.search(r"^# exit code (\d+)\n", expected, re.MULTILINE)
        found.append((
            command,
            expected.replace(code[0], "") if code else expected,
            int(code[1]) if code else 0,
        ))  # fmt: skip
    return found


def matches(expected, printed):
    """Tell whether *printed* is *expected*, in which `…` stands for anything."""
    pattern = "".join(
        ".*" if part == "…" else re.escape(part) for part in re.split("(…)", expected)
    )
    return re.fullmatch(pattern, printed, re.DOTALL) is not None


@pytest.fixture
def shell(tmp_path):
    """Return a function that runs a command in an empty directory, with this orch on PATH."""
    binaries = os.path.dirname(sys.executable)
    environment = {**os.environ, "PATH": f"{binaries}:{os.environ['PATH']}", "NO_COLOR": "1"}
    environment["PWD"] = str(tmp_path)

    def run(command):
        return subprocess.run(
            ["/bin/sh", "-c", command],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )

    return run


@pytest.mark.parametrize("page", PAGES)
def test_page_does_what_it_says(page, tmp_path, shell):
    """Files are written, commands are run, and print what the page shows."""
    for _, text in blocks(page):
        name = re.match(r"# (\S+\.\w+)\n", text)
        if name:
            (tmp_path / name[1]).write_text(text, encoding="utf-8")
    for language, text in blocks(page):
        name = re.match(r"# (\S+\.yaml)\n", text)
        if name and "wrong" not in name[1]:
            done = shell(f"orch check {name[1]}")
            assert done.returncode == 0, done.stdout
        for command, expected, code in commands(text) if language == "console" else ():
            done = shell(command)
            assert matches(expected, done.stdout), f"$ {command}\n{done.stdout}"
            assert code == done.returncode
