"""Bad job files, each with the exact text that ``orch check`` writes about it.

``badspecs/NN-name.yaml`` stands beside ``NN-name.err``. A ``.yaml`` without its ``.err`` is a file
whose messages are not right yet. Goldens are written, and then read in the diff, by::

    python -m tests.test_badspecs --write            # those that exist
    python -m tests.test_badspecs --write 98 104     # and these, which may be new
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.cli.console import complain
from orchestrator.errors import SpecError
from orchestrator.loading import load, spec_error

FOLDER = Path(__file__).parent.absolute() / "badspecs"
PAIRS = sorted((path.stem for path in FOLDER.glob("*.err")), key=lambda s: int(s.split("-")[0]))
ALSO_RUN = [stem for stem in PAIRS if int(stem.split("-")[0]) % 12 == 1]
GOOD = b"tasks:\n  a: {mode: thread, function: builtins:print}\n"

# What cannot be stored as a text of YAML: the bytes, and the first line of what is said.
BYTES = {
    "utf-16": (
        GOOD.decode().encode("utf-16"),
        "x.yaml:1:1: error: the file is UTF-16, expected UTF-8; save it as UTF-8",
    ),
    "utf-16 unmarked": (
        GOOD.decode().encode("utf-16-le"),
        "x.yaml:1:2: error: the file is UTF-16 or binary, expected UTF-8; save it as UTF-8",
    ),
    "latin-1": (
        GOOD + "# é".encode("latin-1"),
        "x.yaml:3:3: error: byte 0xe9 is not UTF-8; save the file as UTF-8",
    ),
    "surrogate": (
        GOOD + b"# \xed\xa0\x80",
        "x.yaml:3:3: error: byte 0xed is not UTF-8; save the file as UTF-8",
    ),
    "nul": (
        GOOD + b"# \0",
        r"x.yaml:3:3: error: `\x00` is a control character, which YAML does not allow",
    ),
    "esc": (
        GOOD + b"# \x1b[31m",
        r"x.yaml:3:3: error: `\x1b` is a control character, which YAML does not allow",
    ),
    "bom only": (
        b"\xef\xbb\xbf",
        "x.yaml:1:1: error: the file is empty; expected a mapping with `tasks`",
    ),
    "brackets": (
        b"[" * 100_000,
        f"x.yaml:1:33: error: {'.'.join('0' * 32)}: nested more than 32 deep",
    ),
    "braces": (
        b"{a: " * 100_000,
        f"x.yaml:1:129: error: {'.'.join('a' * 32)}: nested more than 32 deep",
    ),
    "dashes": (
        b"- " * 100_000,
        f"x.yaml:1:65: error: {'.'.join('0' * 32)}: nested more than 32 deep",
    ),
    "digits": (
        b"tasks:\n  a: {mode: thread, function: builtins:print, retry: " + b"9" * 5000 + b"}\n",
        "x.yaml:2:54: error: tasks.a.retry: a number of 5000 digits",
    ),
    "larger than 16 MiB": (
        b"#" * (16 * 2**20 + 1),
        "orch: error: x.yaml: is larger than 16 MiB",
    ),
}
PARAMS = {
    "missing": ([], "missing parameter `n`; give -p n=VALUE"),
    "unknown": (["-p", "m=1"], "unknown parameter `m`; known: `n` and `s`"),
    "wrong type": (["-p", "n=x"], "parameter `n`: found text `x`, expected a whole number"),
    "out of range": (["-p", "n=0"], "parameter `n`: `0` is too small, expected at least `1`"),
    "no choice": (["-p", "n=1", "-p", "s=c"], "parameter `s`: found text `c`, expected `a` or `b`"),
    "no value": (["-p", "n"], "found `n` after -p, expected KEY=VALUE or @FILE.yaml"),
}
WITH_PARAMS = (
    b"params: {n: {type: int, min: 1}, s: {choices: [a, b], default: a}}\n"
    b"tasks:\n  a: {mode: subprocess, command: [echo]}\n"
)


def golden(stem):
    """Return what ``orch check`` is to write about the bad spec *stem*."""
    return (FOLDER / f"{stem}.err").read_text()


def orch(folder, *args):
    """Run the real binary in *folder*; return its exit code, stdout and stderr."""
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator", *args],
        cwd=folder,
        env={**os.environ, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stdout, done.stderr.replace(str(folder), "ROOT")


def check(file):
    """Do what ``orch check`` does, in this process."""
    try:
        loaded = load(file, lenient=True)
        errors, warnings = loaded.checker.deep()
        if errors:
            raise spec_error(loaded.source, [*errors, *warnings])
    except SpecError as error:
        complain(error)


@pytest.mark.parametrize("stem", PAIRS)
def test_messages(stem, capfd, monkeypatch):
    """A bad spec is told about in exactly the words of its golden file."""
    monkeypatch.chdir(FOLDER)
    monkeypatch.setenv("NO_COLOR", "1")
    check(f"{stem}.yaml")
    said = capfd.readouterr()
    assert said.out == ""
    assert golden(stem) == said.err.replace(str(FOLDER), "ROOT")


@pytest.mark.parametrize("stem", PAIRS)
def test_check(stem):
    """``orch check`` says the same, on stderr only, and exits with 3."""
    assert (3, "", golden(stem)) == orch(FOLDER, "check", f"{stem}.yaml")


@pytest.mark.parametrize("stem", ALSO_RUN)
def test_run(stem):
    """``orch run`` refuses a bad spec with 3 and leaves nothing behind."""
    code, out, err = orch(FOLDER, "run", f"{stem}.yaml")
    assert (code, out) == (3, "")
    assert golden(stem).splitlines()[0] in err
    assert not (FOLDER / ".orch").exists()


@pytest.mark.promise(30)
@pytest.mark.parametrize("command", ["check", "run"])
@pytest.mark.parametrize("case", BYTES)
def test_bytes(case, command, tmp_path):
    """What is not a text of YAML is refused in one line, however large."""
    data, expected = BYTES[case]
    (tmp_path / "x.yaml").write_bytes(data)
    code, out, err = orch(tmp_path, command, "x.yaml")
    assert (3, "", expected) == (code, out, err.splitlines()[0])
    assert not (tmp_path / ".orch").exists()


def test_byte_order_mark(tmp_path):
    """A mark of UTF-8 at the start is no mistake."""
    (tmp_path / "x.yaml").write_bytes(b"\xef\xbb\xbf" + GOOD)
    assert orch(tmp_path, "check", "x.yaml") == (0, "", "x.yaml: 1 task, no errors\n")


@pytest.mark.parametrize("command", ["check", "run"])
@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("nowhere.yaml", "no such file"),
        ("folder", "is a directory, expected a file"),
        ("pipe", "is not a regular file, expected a file"),
    ],
)
def test_no_file(file, said, command, tmp_path):
    """What is not a file that can be read is refused, and a pipe is not waited for."""
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    assert (3, "", f"orch: error: {file}: {said}\n") == orch(tmp_path, command, file)


def test_unreadable(tmp_path):
    """A file that cannot be read, by root neither, is refused."""
    expected = "orch: error: /proc/self/mem: cannot be read: input/output error\n"
    assert (3, "", expected) == orch(tmp_path, "check", "/proc/self/mem")


@pytest.mark.parametrize("case", PARAMS)
def test_params(case, tmp_path):
    """A mistake in ``-p`` is one of the command line: 2, and nothing is started."""
    (tmp_path / "x.yaml").write_bytes(WITH_PARAMS)
    args, said = PARAMS[case]
    assert (2, "", f"orch: error: {said}\n") == orch(tmp_path, "run", "x.yaml", *args)
    assert not (tmp_path / ".orch").exists()


def test_module_with_syntax_error(tmp_path):
    """A module that is not Python is told about with its own file and line."""
    (tmp_path / "broken.py").write_text("def main(:\n    pass\n")
    (tmp_path / "x.yaml").write_text("tasks:\n  a: {mode: thread, function: broken:main}\n")
    _, _, err = orch(tmp_path, "check", "x.yaml")
    expected = "x.yaml:2:31: error: tasks.a.function: ROOT/broken.py:1: invalid syntax"
    assert expected == err.splitlines()[0]


def write(numbers):
    """Write the goldens that exist, and those of the bad specs with these *numbers*."""
    for path in sorted(FOLDER.glob("*.yaml")):
        if path.stem in PAIRS or path.stem.split("-")[0] in numbers:
            code, out, err = orch(FOLDER, "check", path.name)
            if (code, out) != (3, ""):
                sys.exit(f"{path.name}: exit code {code}, expected 3 and an empty stdout\n{err}")
            path.with_suffix(".err").write_text(err)


if __name__ == "__main__":
    if sys.argv[1:2] != ["--write"]:
        sys.exit("usage: python -m tests.test_badspecs --write [NUMBER]…")
    write(sys.argv[2:])
