"""Importing the functions of a job in a process of its own, for ``orch check``.

Run as a file. Reads ``[root, [[function, number of args, names of kwargs, whether it consumes,
whether it publishes], …]]`` from stdin and prints, as its last line, what is wrong with each, or
null.
"""

import inspect
import json
import os
import sys
from importlib import import_module
from typing import Any


def main() -> None:
    """Answer on stdout, whatever the imported modules print."""
    root, calls = json.load(sys.stdin)
    answer = os.dup(1)
    os.dup2(2, 1)
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    sys.path.insert(0, package)
    from orchestrator import functions  # noqa: PLC0415 - found by the line above
    from orchestrator.spec import words  # noqa: PLC0415

    sys.path.pop(0)
    functions.place_root(root)
    answers = [_look(functions, words, *call) for call in calls]
    sys.stdout.flush()
    os.write(answer, ("\n" + json.dumps(answers)).encode())
    os._exit(0)  # threads and exit handlers of the modules are nobody's business here


def _look(
    functions: Any,
    words: Any,
    reference: str,
    args: int | None,
    kwargs: list[str] | None,
    consumes: bool,
    publishes: bool,
) -> str | None:
    """Return what is wrong with calling *reference* so."""
    module, _, path = reference.partition(":")
    try:
        function: Any = import_module(module)
    except BaseException as error:  # noqa: BLE001 - the modules may raise anything
        failure = functions.failure_of(error)
        return f"importing `{module}` raises {failure.type}: {failure.message[:200]}"
    for name in path.split("."):
        if not hasattr(function, name):
            return f"`{module}` has no {words.quote(name)}{words.did_you_mean(name, dir(function))}"
        function = getattr(function, name)
    if not callable(function):
        return f"{words.quote(path)} of module `{module}` is not a function"
    yields = inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)
    if yields and not publishes:
        return f"`{reference}` is a generator, and the task does not publish"
    if args is None or kwargs is None:
        return None
    try:
        inspect.signature(function).bind(*[None] * (args + consumes), **dict.fromkeys(kwargs))
    except TypeError as error:
        first = ", of which the first is the iterator over its queue," if consumes else ""
        return f"the arguments{first} do not fit `{reference}`: {error}"
    except ValueError:
        return None  # no signature is known: a builtin
    return None


if __name__ == "__main__":
    main()
