"""``orch run FILE`` with plain options, told without the library for command lines.

Typer and what it brings cost ten times as much as Python's own start. What is not plain (an option
that is unknown or has no value, ``--name=value``, ``-qv``, a request for help, shell completion)
is left to it, and so is every other command. Both understand the same: a test holds them equal.
"""

from __future__ import annotations

import os

from orchestrator.records import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

_FLAGS: dict[str, tuple[str, bool]] = {
    "--fail-fast": ("fail_fast", True), "--keep-going": ("fail_fast", False),
    "--json": ("as_json", True), "--events": ("events", True), "--no-keeper": ("_", True),
    "-q": ("quiet", True), "--quiet": ("quiet", True),
    "-v": ("verbose", True), "--verbose": ("verbose", True),
}  # fmt: skip
_VALUES = {"--log-file": "log_file", "--state-dir": "state_dir"}
_CHOICES = {
    "--log-format": ("log_format", ("auto", "console", "json")),
    "--task-output": ("task_output", ("live", "failed", "none")),
    "--sync": ("sync", ("normal", "full")),
}
_LISTS = {"-p": "params", "--param": "params", "--only": "only", "--skip": "skip"}


class Plain(NamedTuple):
    """The file that is to be run, and the options by their names."""

    file: str
    options: dict[str, Any]


def plain(args: Sequence[str]) -> Plain | None:
    """Return what *args* ask for; None where that is not plain."""
    if args[:1] != ["run"] or any(name.startswith("_ORCH") for name in os.environ):
        return None
    files: list[str] = []
    found: dict[str, Any] = {}
    if state_dir := os.environ.get("ORCH_STATE_DIR"):
        found["state_dir"] = state_dir
    rest = iter(args[1:])
    for word in rest:
        if not word.startswith("-") or word == "-":
            files.append(word)
        elif word in _FLAGS:
            name, is_on = _FLAGS[word]
            found[name] = is_on
        elif not _takes(word, next(rest, "-"), found):
            return None
    found.pop("_", None)
    return Plain(files[0], found) if len(files) == 1 and files[0] else None


def _takes(word: str, value: str, found: dict[str, Any]) -> bool:
    """Put the *value* of option *word* into *found*; tell whether that is plain."""
    if value.startswith("-"):
        return False
    if word in _VALUES:
        found[_VALUES[word]] = value
    elif word in _LISTS:
        found.setdefault(_LISTS[word], []).append(value)
    elif word in _CHOICES and value in _CHOICES[word][1]:
        found[_CHOICES[word][0]] = value
    else:
        return False
    return True
