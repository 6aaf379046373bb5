"""Setting the modes of tasks in the text of a job file, all else in it byte for byte as it was.

Places come from the marks of libyaml, which count characters. What comes out is read again: where
anything but the modes has become different, nothing is given back.
"""

from __future__ import annotations

import os
import re
import stat

import yaml

from orchestrator.errors import EnvironmentFault, OrchError
from orchestrator.spec.reading import read_bytes
from orchestrator.spec.source import Source
from orchestrator.spec.words import did_you_mean, found, listing, printable, quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    Edit = tuple[int, int, str]  # from, to, what stands there then

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_BREAK = re.compile("\r\n|[\r\n\x85\u2028\u2029]")  # what ends a line, and a comment, in YAML 1.1
_BOM = "\ufeff"
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class CannotEdit(OrchError):
    """The job file is not such that orch can change it; the message says why, for the user."""

    exit_code = 3


def with_modes(text: str, modes: Mapping[str, str]) -> str:
    """Return the *text* of a job file in which the tasks named have these *modes*.

    A task that has a mode of its own keeps its quotes; one that has none gets a first entry, unless
    ``defaults`` says the same. Raises ``CannotEdit`` where a task is not in the file, or orch would
    refuse the file as YAML, as it does anchors, aliases and merges.
    """
    if not modes:
        return text
    source = _read(text, modes)
    tasks = _changed(source.value, modes)
    if not tasks:
        return text
    places = _Places(source.text)
    edits = [places.edit(name, task["mode"]) for name, task in tasks.items()]
    bom = _BOM if text.startswith(_BOM) else ""
    result = bom + _applied(source.text, edits)
    wanted = {**source.value, "tasks": {**source.value["tasks"], **tasks}}
    # by repr: 1 is not true, and the order of tasks and keys counts too
    if repr(_read(result, tasks).value) != repr(wanted):
        raise CannotEdit(
            f"{_named(tasks)} cannot be edited: more than the mode would change; write it by hand"
        )
    return result


def difference(before: str, after: str, name: str) -> str:
    """Return what ``diff -u`` shows for the file *name*, nothing where the texts are equal."""
    from difflib import unified_diff  # noqa: PLC0415 - only who shows a difference pays for it

    lines = unified_diff(_lines(before), _lines(after), f"a/{name}", f"b/{name}")
    return "".join(
        line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines
    )


def write(path: str, before: bytes, after: str) -> None:
    """Replace the file at *path*, or the one that it links to, at once: old or new, never half.

    Raises ``CannotEdit`` where it no longer holds *before*, ``EnvironmentFault`` where it cannot
    be replaced; it is then as it was.
    """
    target = os.path.realpath(path)
    new = os.path.join(os.path.dirname(target), f".orch-{os.urandom(8).hex()}")
    try:
        _refuse_changed(target, path, before)
        if not os.access(target, os.W_OK):  # a rename would not ask
            raise EnvironmentFault(f"{printable(path)} is read-only")
        descriptor = os.open(new, _NEW, 0o600)
        try:
            with open(descriptor, "wb") as file:
                file.write(after.encode())
                file.flush()
                _like(descriptor, os.stat(target))
                os.fsync(descriptor)
            _refuse_changed(target, path, before)
            os.replace(new, target)
        except BaseException:
            _remove(new)
            raise
        _sync(os.path.dirname(target))
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise EnvironmentFault(f"{printable(path)} cannot be written: {why}") from None


def _read(text: str, names: Iterable[str]) -> Source:
    """Read *text* as orch does; of its mistakes tell the first in *names*, or the first of all."""
    source = Source("", text.encode("utf-8", "surrogatepass"))
    if not source.problems:
        return source
    names = list(names)
    reports = source.report(source.problems)
    for report in reports:
        match report.problem.where:
            case ("tasks", str() as name, *_) if name in names:
                break
    else:
        report, name = reports[0], names[0]
    where = printable(".".join(str(part) for part in report.problem.where))
    raise CannotEdit(
        f"task {quote(name)} cannot be edited: line {report.mark.line}: "
        f"{where}{': ' if where else ''}{report.problem.message}"
    )


def _changed(value: Any, modes: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Return the tasks that do not have their mode of *modes* yet, as they are to be."""
    job = value if isinstance(value, dict) else {}
    tasks, defaults = (
        part if isinstance(part, dict) else {} for part in (job.get("tasks"), job.get("defaults"))
    )
    changed: dict[str, dict[str, Any]] = {}
    for name, mode in modes.items():
        if name not in tasks:
            raise CannotEdit(f"no task {quote(name)} in the file{did_you_mean(name, tasks)}")
        task = {} if tasks[name] is None else tasks[name]
        if not isinstance(task, dict):
            message = f"found {found(task)}, expected a mapping"
            raise CannotEdit(f"task {quote(name)} cannot be edited: {message}")
        if task.get("mode", defaults.get("mode")) != mode:
            first = {} if "mode" in task else {"mode": mode}
            changed[name] = {**first, **task, "mode": mode}
    return changed


class _Places:
    """Where in a text the tasks stand, and what to write where."""

    def __init__(self, text: str) -> None:
        self.text = text
        root: Any = yaml.compose(text, Loader=_LOADER)
        self.tasks: Any = next(node for key, node in root.value if key.value == "tasks")
        self.entries = {key.value: (key, node) for key, node in self.tasks.value}
        self.colons = _colons(text)

    def edit(self, name: str, mode: str) -> Edit:
        """Return what gives the task *name* its *mode*."""
        key, task = self.entries[name]
        if not isinstance(task, yaml.MappingNode):
            return self._filled(name, self.tasks, (key, task), f"{{mode: {mode}}}")
        for own, value in task.value:
            if own.value == "mode":
                return self._filled(name, task, (own, value), mode)
        if task.flow_style:
            return self._first_entry(task, mode)
        return self._first_line(key, task, mode)

    def _filled(self, name: str, parent: Any, entry: tuple[Any, Any], what: str) -> Edit:
        """Put *what* in the place of the scalar in *entry*, which may be one of no length."""
        key, value = entry
        start, end = value.start_mark.index, value.end_mark.index
        if not isinstance(value, yaml.ScalarNode) or value.style in ("|", ">"):
            raise CannotEdit(
                f"task {quote(name)} cannot be edited: its mode is not a plain or quoted text"
            )
        if end > start:
            quotes = value.style or ""
            return start, end, f"{quotes}{what}{quotes}"
        # the mark of nothing may lie behind comments
        colon = self.colons.get(key.start_mark.index)
        if colon is not None:
            return colon, colon, f" {what}"
        if not parent.flow_style:
            raise CannotEdit(
                f"task {quote(name)} cannot be edited: {quote('? ' + key.value)} has no value"
            )
        return key.end_mark.index, key.end_mark.index, f": {what}"

    def _first_line(self, key: Any, task: Any, mode: str) -> Edit:
        start, indent = task.start_mark.index, " " * task.start_mark.column
        ended = _BREAK.search(self.text, self.colons[key.start_mark.index])
        if ended is not None and ended.end() <= start:
            # above the comments of what is the first line now: they may be about that only
            return ended.end(), ended.end(), f"{indent}mode: {mode}{ended[0]}"
        newline = ended[0] if ended is not None else "\n"
        return start, start, f"mode: {mode}{newline}{indent}"  # `: key: value`, after a `? name`

    def _first_entry(self, task: Any, mode: str) -> Edit:
        inside = task.start_mark.index + 1
        if not task.value:
            space = " " if self.text[inside] == " " else ""
            return inside, inside, f"{space}mode: {mode}"
        start = task.value[0][0].start_mark.index
        for ended in _BREAK.finditer(self.text, inside, start):
            indent = self.text[ended.end() : start]
            if not indent.strip(" \t"):  # the first entry has a line of its own
                return start, start, f"mode: {mode},{ended[0]}{indent}"
        return start, start, f"mode: {mode}, "


def _colons(text: str) -> dict[int, int]:
    """Return the place after the colon of each key that has one, by the place of the key."""
    places: dict[int, int] = {}
    key: int | None = None
    for token in yaml.scan(text, Loader=_LOADER):
        if isinstance(token, yaml.ScalarToken):
            key = token.start_mark.index
            continue
        if key is not None and isinstance(token, yaml.ValueToken):
            places[key] = token.end_mark.index
        key = None
    return places


def _applied(text: str, edits: list[Edit]) -> str:
    parts, done = [], 0
    for start, end, what in sorted(edits):
        parts += [text[done:start], what]
        done = end
    return "".join([*parts, text[done:]])


def _named(tasks: Iterable[str]) -> str:
    names = list(tasks)
    return f"task{'s' if len(names) > 1 else ''} {listing([printable(n) for n in names], 'and')}"


def _lines(text: str) -> list[str]:
    """Split *text* as diff does, at newlines only, which stay."""
    *lines, rest = text.split("\n")
    return [f"{line}\n" for line in lines] + ([rest] if rest else [])


def _refuse_changed(target: str, path: str, before: bytes) -> None:
    try:
        same = read_bytes(target) == before
    except ValueError as error:
        raise CannotEdit(f"{printable(path)}: {error}") from None
    if not same:
        raise CannotEdit(f"{printable(path)} has been changed meanwhile; it is left as it is")


def _like(descriptor: int, old: os.stat_result) -> None:
    """Give the new file the owner and the permissions of the *old* one. Raises ``OSError``."""
    new = os.fstat(descriptor)
    if (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid):
        os.fchown(descriptor, old.st_uid, old.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(old.st_mode))


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:  # an interrupt right after the rename
        pass


def _sync(folder: str) -> None:
    """Have the rename survive a crash of the machine, as far as the file system can."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        return
    finally:
        os.close(descriptor)
