"""The two ways of starting a program do the same."""

import errno
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from orchestrator import descriptors
from orchestrator.runners.spawn import spawn

LOOKS = """
import json, os, sys
print(json.dumps({
    "argv": sys.argv[1:], "folder": os.getcwd(), "env": dict(os.environ),
    "leads": os.getsid(0) == os.getpid() == os.getpgid(0), "stdin": os.readlink("/proc/self/fd/0"),
    "open": [n for n in range(1024) if os.path.exists(f"/proc/self/fd/{n}")],
}))
sys.stderr.write("said")
"""


@pytest.fixture(name="way", params=["posix_spawn", "Popen"])
def _way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Have programs started in one of the ways, and make sure that they are."""
    quick = request.param == "posix_spawn"
    monkeypatch.setattr(descriptors, "_are_ours_alone", quick)
    if quick:
        descriptors.take_over()
    other = (subprocess, "Popen") if quick else (os, "posix_spawn")
    monkeypatch.setattr(*other, lambda *_, **__: pytest.fail("the other way was taken"))
    name: str = request.param
    return name


def run(argv: list[str], cwd: str | None = None, env: dict[str, str] | None = None) -> Any:
    """Run a program and return its status and what it wrote to both streams."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        pid, process = spawn(argv, cwd, env, (None, out.fileno(), err.fileno()))
        _, status = os.waitpid(pid, 0)
        if process is not None:
            process.returncode = 0
        out.seek(0)
        err.seek(0)
        return os.waitstatus_to_exitcode(status), out.read().decode(), err.read().decode()


def test_what_a_program_begins_with(way: str) -> None:
    """Its arguments, environment, streams, session; nothing else is open."""
    read, write = os.pipe()
    try:
        argv = [sys.executable, "-I", "-c", LOOKS, "a", "b c", ""]
        status, out, err = run(argv, env={"ONE": "1", "PATH": "/bin"})
    finally:
        os.close(read)
        os.close(write)
    found = json.loads(out)
    assert (status, err) == (0, "said"), way
    assert found["argv"] == ["a", "b c", ""]
    assert {"ONE": "1", "PATH": "/bin"}.items() <= found["env"].items()
    assert "HOME" not in found["env"]
    assert (found["folder"], found["leads"], found["stdin"]) == (os.getcwd(), True, "/dev/null")
    assert found["open"] == [0, 1, 2]


def test_signals_that_python_ignores(way: str) -> None:
    """A program ends by SIGPIPE, as from a shell."""
    assert signal.getsignal(signal.SIGPIPE) is signal.SIG_IGN, way
    status, *_ = run(["/bin/sh", "-c", "kill -PIPE $$; echo still here"])
    assert status == -signal.SIGPIPE


@pytest.mark.parametrize(
    ("name", "path", "number"),
    [
        ("/no/such/program", "/bin", errno.ENOENT),
        ("no-such-program", "/bin:/usr/bin", errno.ENOENT),
        ("/", "/bin", errno.EACCES),
        ("/etc/passwd", "/bin", errno.EACCES),
        ("text", "{folder}:/bin", errno.EACCES),
        ("script", "{folder}", errno.ENOEXEC),
        ("true", "", errno.ENOENT),
        ("/etc/passwd/true", "/bin", errno.ENOTDIR),
    ],
)
def test_programs_that_cannot_be_started(
    way: str, name: str, path: str, number: int, tmp_path: Path
) -> None:
    """The same error, which names the program."""
    (tmp_path / "text").write_text("no program")
    script = tmp_path / "script"
    script.write_text("no interpreter")
    script.chmod(0o755)
    with pytest.raises(OSError, match=re.escape(name)) as caught:
        run([name], env={"PATH": path.format(folder=tmp_path)})
    assert (caught.value.errno, way) == (number, way)
    assert caught.value.filename == name


def test_the_first_on_path_is_taken(way: str, tmp_path: Path) -> None:
    """What is there and cannot be run is passed over; ``PATH`` is that of the program."""
    for folder, mode in (("a", 0o644), ("b", 0o755), ("c", 0o755)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "it").write_text(f"#!/bin/sh\necho {folder}\n")
        (tmp_path / folder / "it").chmod(mode)
    path = f"{tmp_path}/none:{tmp_path}/a:{tmp_path}/b:{tmp_path}/c"
    assert run(["it"], env={"PATH": path}) == (0, "b\n", ""), way


@pytest.mark.parametrize("argv", [["/bin/echo", "a\0b"], ["/bin/e\0cho"]])
def test_half_a_text(way: str, argv: list[str]) -> None:
    """A NUL character ends no argument: it is refused."""
    with pytest.raises(ValueError, match="null"):
        run(argv)
    assert way


def test_another_folder_goes_the_other_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """``posix_spawn`` cannot change the directory."""
    monkeypatch.setattr(descriptors, "_are_ours_alone", True)
    assert run(["/bin/pwd"], cwd="/") == (0, "/\n", "")
