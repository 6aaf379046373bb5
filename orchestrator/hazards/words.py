"""What a suspect is called, why it is one, and what can be done."""

from __future__ import annotations

import linecache
import os

from orchestrator.hazards import tables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from orchestrator.hazards.frames import Effect
    from orchestrator.hazards.values import Resource

_MAX_SNIPPET = 40
_QUOTES = "'\""
_PROCESS = {
    "cwd": "the working directory",
    "environ": "the environment",
    "umask": "the umask",
    "signals": "the signal handlers",
    "random seed": "the state of `random`",
    "random seed of NumPy": "the state of `numpy.random`",
    "random seed of PyTorch": "the random state of PyTorch",
    "life": "the life of the process",
    "sys.path": "`sys.path`",
    "sys.argv": "`sys.argv`",
    "locale": "the locale",
    "switch interval": "the switch interval of threads",
}


def named(resource: Resource, root: str, *, folder: bool = False) -> str:
    """Return what *resource* is, for a user: a short name, then what it is."""
    match resource:
        case ("global", module, name):
            return f"`{module}.{name}`, a module global"
        case ("attribute", module, name):
            return f"`{module}.{name}`, an attribute that all threads see"
        case ("default", module, name):
            return f"`{module}.{name}`, a default that is made once"
        case ("cached", module, name):
            return f"`{module}.{name}`, which gives all callers the same"
        case ("file", path):
            inside = os.path.relpath(path, root) if path.startswith(f"{root}/") else path
            return f"`{inside}`, a {'folder' if folder else 'file'}"
        case ("process", name):
            whole, _, part = name.partition("[")
            known = _PROCESS.get(whole, f"the {whole}")
            of = f" (`{part.rstrip(']').strip(_QUOTES)}`)" if part else ""
            return f"{known}{of}, one in the process"
    return " ".join(resource)


def why(one: Effect, other: Effect, reader: Effect | None = None) -> str:
    """Return one sentence that says why the two effects are a race; *reader* is hit by it."""
    if one.resource == tables.LIFE:
        return f"{_line(one)} ends or copies the process in the middle of what others do"
    if one.resource[0] == "file":
        if "folder" in (one.how, other.how):
            return "one makes or removes the folder while the other is in it"
        return "one writes the file while the other has it open: what is in it is up to chance"
    if one.resource[0] == "process":
        hit = f": in {_line(other)}" if other.kind == "read" and other.line != one.line else ""
        return (
            f"{_line(one)} is meant for one task, and takes effect in all that run beside it{hit}"
        )
    return _of_memory(one, other, reader)


def _of_memory(one: Effect, other: Effect, reader: Effect | None) -> str:
    if one.kind == "update" and one.under and other.kind == "read" and not other.under:
        return f"{_line(other)} looks without the lock under which {_line(one)} changes it"
    # what holds no lock is more to blame than what holds one
    for effect in sorted((one, other), key=lambda effect: len(effect.under)):
        if effect.kind == "update":
            said = _UPDATES.get(effect.how, _UPDATES["augmented"])
            return f"{_line(effect)} {said.format(where=_where(effect))}"
    if one.kind == other.kind == "write":
        return _both_set(one, other, reader)
    reader, writer = (one, other) if one.kind == "read" else (other, one)
    if writer.how == "clear" and reader.how == "needed":
        return f"{_line(writer)} leaves nothing where {_line(reader)} needs something"
    if reader.how in ("iterated", "measured"):
        return f"it changes while {_line(reader)} goes through it"
    return f"{_line(reader)} finds the old or the new value, by chance"


def _both_set(one: Effect, other: Effect, reader: Effect | None) -> str:
    first, second = _line(one), _line(other)
    sets = f"each time {first} sets it" if first == second else f"{first} and {second} both set it"
    if reader is not None:
        return f"{sets}: {_line(reader)} may find what the other has set"
    return f"{sets}: which one is last is up to chance"


def _where(effect: Effect) -> str:
    """Return where *effect* has looked before, if that says something."""
    if effect.looked is None or not effect.looked[1]:
        return ""
    file, line = effect.looked
    return f" in line {line}" if file == effect.file else f" in {os.path.basename(file)}:{line}"


_UPDATES = {
    "augmented": "reads, then writes: what the other adds in between is lost",
    "computed": "writes what it has made from an earlier look{where}: a change in between is lost",
    "checked": "acts on an earlier look{where}: both may find the same, and both act",
    "stepped": "moves an iterator on, which fails or repeats in two threads",
    "changed": "takes several steps, and the other sees it half done",
    "stateful": "goes on from where the last call left off, whoever made it",
    "pieces": "writes a piece of what belongs together: the other may write in between",
    "patched": "sets it for a while, and sets it back, for all",
}


def ways(resource: Resource, one: Effect, other: Effect) -> tuple[str, ...]:
    """Return short ways out, the likeliest first."""
    if resource == tables.LIFE:
        return ("`mode: process` for it", "raise an exception instead")
    found = ["a lock under `resources:`", "`needs:` that puts them in order"]
    if resource[0] == "file":
        found.insert(0, "a file for each")
    elif resource == tables.CWD:
        found.insert(0, "`cwd:` of the task, or paths from `root`")
    else:
        found.append("`mode: process`")
    if resource[0] in ("global", "attribute", "default", "cached"):
        found.insert(0, "`with` a `threading.Lock` at both places")
        if "append" in (one.how, other.how):
            found.append("a queue")
    found.append("`# orch: shared` on the line, if it is meant")
    return tuple(found)


def _line(effect: Effect) -> str:
    """Return the source line of *effect*, short, in backticks."""
    text = linecache.getline(effect.file, effect.line).partition("  #")[0].strip().rstrip(":")
    if len(text) > _MAX_SNIPPET:
        text = text[: _MAX_SNIPPET - 1] + "…"
    return f"`{text}`" if text else f"line {effect.line}"
