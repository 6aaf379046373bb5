"""Calling a function that a job file names: the same in every mode that has functions."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterable, Mapping
from contextlib import contextmanager, suppress

from orchestrator import jsonio
from orchestrator.events import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, Protocol

    from orchestrator.events import Outcome

    Result = tuple[Outcome, str | None, Failure | None]

    class Ends(Protocol):
        """The ends of queues that a function has; without one, None."""

        items: Iterator[Any] | None
        """What it iterates over: the first argument of the function."""
        publish: Callable[[Any], None] | None
        """Takes each item that it yields. Raises ``Closed``, and ``OutputError`` for no item."""

        def is_closed(self) -> bool:
            """Tell whether nobody reads what it publishes any more."""


MAX_TEXT_BYTES = 64 * 1024
# What orch itself imports late, and a module of the same name at the job's root would stand in for.
OWN_IMPORTS = (
    "jinja2", "markdown_it", "markupsafe", "orjson", "pygments", "rich", "structlog", "yaml",
)  # fmt: skip
_OURS = __name__
_found: dict[str, Callable[..., Any]] = {}


class Closed(Exception):
    """Nobody reads what the task publishes any more."""


@contextmanager
def importing_from(root: str) -> Iterator[None]:
    """Import from *root* for as long as a run lasts.

    Modules from there are forgotten afterwards: the next job may have others of the same names.
    """
    path, before = sys.path[:], set(sys.modules)
    sys.meta_path.append(_Unharmed)
    _Unharmed.path = path
    place_root(root)
    try:
        yield
    finally:
        sys.path[:] = path
        if _Unharmed in sys.meta_path:
            sys.meta_path.remove(_Unharmed)
        _found.clear()
        for name, module in list(sys.modules.items()):
            file = getattr(module, "__file__", None) or ""
            if name not in before and file.startswith(f"{root}/") and "site-packages" not in file:
                del sys.modules[name]


class _Unharmed:
    """Finds what orch imports late, also where a task has emptied ``sys.path``."""

    path: list[str]

    @classmethod
    def find_spec(cls, name: str, path: Any = None, target: Any = None) -> Any:
        """Return the spec of a module of Python's or of orch's own; None for all others."""
        del target
        top = name.partition(".")[0]
        if path is not None or (top not in sys.stdlib_module_names and top not in OWN_IMPORTS):
            return None
        from importlib.machinery import PathFinder  # noqa: PLC0415 - it is there already

        return PathFinder.find_spec(name, cls.path)


def place_root(root: str) -> None:
    """Put *root* into ``sys.path``, after the standard library and before site-packages."""
    sys.path[:] = path_with(root)


def path_with(root: str) -> list[str]:
    """Return ``sys.path`` with *root* in its place."""
    path = sys.path[:]
    if root in path:
        return path
    index = len(path)
    for position, folder in enumerate(path):
        if "site-packages" in folder or "dist-packages" in folder:
            index = position
            break
    return [*path[:index], root, *path[index:]]


def resolve(reference: str) -> Callable[..., Any]:
    """Import and return what ``pkg.mod:name`` or ``pkg.mod:obj.method`` names."""
    function = _found.get(reference)
    if function is None:
        module, _, path = reference.partition(":")
        __import__(module)
        target: Any = sys.modules[module]
        for name in path.split("."):
            target = getattr(target, name)
        if not callable(target):
            raise TypeError(f"{reference} is not a function: `{type(target).__name__}`")
        function = _found[reference] = target
    return function


def call(
    reference: str,
    args: list[Any],
    kwargs: dict[str, Any],
    ends: Ends | None = None,
    begins: Callable[[], None] | None = None,
) -> Result:
    """Call the function and return how it went: outcome, output as JSON text, failure.

    What it publishes goes to *ends*; its output is then what its generator returns. *begins* is
    called when the function has been imported and is about to be called.

    Catches everything, ``SystemExit`` and ``KeyboardInterrupt`` too: in a bare thread they would
    vanish.
    """
    try:
        function = resolve(reference)
    except BaseException as error:  # noqa: BLE001 - the user's module may raise anything
        return "launch_failed", None, failure_of(error)
    if begins is not None:
        begins()
    try:
        if ends is None:
            result = function(*args, **kwargs)
        else:
            result = _joined(function, args, kwargs, ends)
        if result is None:
            return "ok", "null", None
        return "ok", jsonio.dumps(_completed(result)), None
    except jsonio.OutputError as error:
        return "failed", None, Failure("OutputError", str(error))
    except GeneratorExit as error:
        if ends is not None and ends.is_closed():
            return "ok", "null", None
        return "failed", None, failure_of(error)
    except BaseException as error:  # noqa: BLE001
        return "failed", None, failure_of(error)


def _joined(
    function: Callable[..., Any], args: list[Any], kwargs: dict[str, Any], ends: Ends
) -> Any:
    """Call a function that queues join with others, and publish what it yields."""
    if ends.items is not None:
        args = [ends.items, *args]
    result = function(*args, **kwargs)
    publish = ends.publish
    if publish is None:
        return result
    if isinstance(result, types.CoroutineType):
        result = _completed(result)
    if isinstance(result, types.AsyncGeneratorType):
        import asyncio  # noqa: PLC0415 - only for who needs it

        return asyncio.run(_publish_async(result, publish))
    if isinstance(result, str | bytes | Mapping) or not isinstance(result, Iterable):
        kind = type(result).__name__
        raise jsonio.OutputError(f"the task publishes, and its function returned `{kind}`")
    return _publish(iter(result), publish)


def _publish(items: Iterator[Any], publish: Callable[[Any], None]) -> Any:
    """Publish *items* and return what their generator returns."""
    try:
        while True:
            publish(next(items))
    except StopIteration as end:
        return end.value
    except Closed:
        if isinstance(items, types.GeneratorType):
            items.close()
        return None
    except BaseException:
        if isinstance(items, types.GeneratorType):
            with suppress(BaseException):  # what went wrong first is told
                items.close()
        raise


async def _publish_async(
    items: types.AsyncGeneratorType[Any, Any], publish: Callable[[Any], None]
) -> None:
    try:
        async for item in items:
            publish(item)
    except Closed:
        pass
    finally:
        await items.aclose()


def _completed(result: Any) -> Any:
    """Run a coroutine to its end; refuse a generator, which would never be run."""
    if isinstance(result, types.CoroutineType):
        import asyncio  # noqa: PLC0415 - only for who needs it

        return asyncio.run(result)
    if isinstance(result, types.GeneratorType | types.AsyncGeneratorType):
        raise jsonio.OutputError("the function is a generator, and the task does not publish")
    return result


def failure_of(error: BaseException) -> Failure:
    """Describe *error*: class name, text, and traceback without the frames of orch."""
    kind = type(error)
    name = kind.__qualname__
    if kind.__module__ != "builtins":
        name = f"{kind.__module__}.{name}"
    try:
        message = str(error)
    except BaseException:  # noqa: BLE001 - odd exceptions are reported, too
        message = "<unprintable>"
    return Failure(cut(name), cut(message), cut(_traceback(error)))


def _traceback(error: BaseException) -> str:
    frames = error.__traceback__
    while frames is not None and _is_ours(frames):
        frames = frames.tb_next
    try:
        import traceback  # noqa: PLC0415 - only a failure pays for it
    except BaseException:  # noqa: BLE001 - no descriptor left to read it with
        return f"{type(error).__qualname__}\n"
    try:
        return "".join(traceback.format_exception(type(error), error, frames))
    except BaseException:  # noqa: BLE001 - its str, its repr or its cause may raise
        return "".join(traceback.format_tb(frames)) + type(error).__qualname__ + "\n"


def _is_ours(frames: types.TracebackType) -> bool:
    name = frames.tb_frame.f_globals.get("__name__", "")
    return name == _OURS or str(name).startswith("importlib")


def cut(text: str) -> str:
    """Return *text* as UTF-8 can hold it, at most 64 KiB, saying so where that is not all."""
    text = text.encode("utf-8", "backslashreplace").decode()
    if len(text) <= MAX_TEXT_BYTES:
        return text
    return f"{text[:MAX_TEXT_BYTES]}… (cut at 64 KiB of {len(text)} characters)"
