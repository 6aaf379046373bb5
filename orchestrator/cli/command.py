"""A command from its first act to its exit code, whatever goes wrong in it."""

from __future__ import annotations

import gc
import os

from orchestrator import __version__, descriptors
from orchestrator.cli.console import complain, flush_and_leave, say
from orchestrator.cli.given import Started
from orchestrator.cli.plain import plain
from orchestrator.errors import EnvironmentFault, OrchError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import NoReturn

    from orchestrator.cli.plain import Plain
    from orchestrator.clock import Clock


def leave(command: Callable[[], None], clock: Clock) -> NoReturn:
    """Do what *command* does and leave with its exit code."""
    descriptors.take_over()
    Started.clock = clock
    flush_and_leave(_code_of(command))


def _code_of(command: Callable[[], None]) -> int:
    try:
        command()
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else int(bool(leaving.code))
    except OrchError as error:
        complain(error)
        return error.exit_code
    except Exception as error:  # noqa: BLE001 - whatever it is, it is ours
        return _failed(error)
    return 0


def run(args: Sequence[str]) -> None:
    """Run the command that *args* name."""
    asked = plain(args)
    if asked is not None:
        run_plain(asked)
        return
    from orchestrator.cli.app import run_app  # noqa: PLC0415 - not for what is plain

    gc.enable()
    run_app(args)


def run_plain(asked: Plain) -> None:
    """Run the job that is asked for."""
    from orchestrator.cli import start  # noqa: PLC0415 - what goes wrong in it is handled
    from orchestrator.cli.session import Telling  # noqa: PLC0415

    options = dict(asked.options)
    telling = {name: options.pop(name) for name in Telling._fields if name in options}
    start.start(start.Request(asked.file, telling=Telling(**telling), **options))


def _failed(error: Exception) -> int:
    """Say what became of orch, and return the exit code."""
    from orchestrator.runners.shortage import hint, shortage  # noqa: PLC0415 - a bug, or worse

    if (reason := shortage(error)) is not None:  # unless orch itself could not be started
        complain(EnvironmentFault(f"{reason}; see {hint(reason)}"))
        return EnvironmentFault.exit_code
    if isinstance(error, FileNotFoundError) and _is_nowhere():
        complain(EnvironmentFault("the working directory has been removed"))
        return EnvironmentFault.exit_code
    import traceback  # noqa: PLC0415 - a bug

    say(f"orch: a bug of orch {__version__}; please report it with what follows")
    say("".join(traceback.format_exception(error)).rstrip())
    return 5


def _is_nowhere() -> bool:
    """Tell whether there is no working directory any more."""
    try:
        os.getcwd()
    except OSError:
        return True
    return False
