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


def named(resource: Resource, root: str) -> str:
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
            return f"`{inside}`, a file"
        case ("process", name):
            whole, _, part = name.partition("[")
            known = _PROCESS.get(whole, f"the {whole}")
            of = f" (`{part.rstrip(']').strip(_QUOTES)}`)" if part else ""
            return f"{known}{of}, one in the process"
    return " ".join(resource)


def why(one: Effect, other: Effect) -> str:
    """Return one sentence that says why the two effects are a race."""
    if one.resource == tables.LIFE:
        return f"{_line(one)} ends or copies the process in the middle of what others do"
    if one.resource[0] == "file":
        return "one writes the file while the other has it open: what is in it is up to chance"
    if one.resource[0] == "process":
        return f"{_line(one)} is meant for one task, and takes effect in all that run beside it"
    for effect in (one, other):
        if effect.kind == "update":
            return f"{_line(effect)} {_UPDATES.get(effect.how, _UPDATES['augmented'])}"
    if one.kind == other.kind == "write":
        return f"{_line(one)} and {_line(other)} both set it: which one is last is up to chance"
    reader = one if one.kind == "read" else other
    if reader.how in ("iterated", "measured"):
        return f"it changes while {_line(reader)} goes through it"
    return f"{_line(reader)} finds the old or the new value, by chance"


_UPDATES = {
    "augmented": "reads, then writes: what the other adds in between is lost",
    "computed": "writes what it has made from an earlier look: a change in between is lost",
    "checked": "acts on an earlier look: both may find the same, and both act",
    "stepped": "moves an iterator on, which fails or repeats in two threads",
    "changed": "takes several steps, and the other sees it half done",
    "stateful": "goes on from where the last call left off, whoever made it",
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
