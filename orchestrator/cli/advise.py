"""``orch advise FILE``: thread or process, from evidence."""

import os
import re
import shlex
import shutil
import textwrap
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli import given, options
from orchestrator.cli.asking import ask, measuring, sayer
from orchestrator.cli.console import emit, emit_json, say, table
from orchestrator.errors import UsageError
from orchestrator.loading import Loaded, load
from orchestrator.places import STDIN, state_directory
from orchestrator.report.screen import wants_colour
from orchestrator.spec.durations import show, show_finely
from orchestrator.spec.words import did_you_mean, printable, quote

if TYPE_CHECKING:  # they bring along what runs are made of
    from orchestrator.advice.judge import Advice, Verdict

_TIMES = 3
_NOTHING_S = 0.001
_TOLD = 0.005  # of a run, from which on a difference is one
_MOST_ROWS = 40
_MOST_NAMES = 5
_UNBROKEN, _UNIT = "\xa0", re.compile(r"(?<=\d) (?=m?s\b)")
_TEXT, _BOLD = re.compile(r"\S.*"), "\x1b[1m\\g<0>\x1b[0m"  # without what a line begins with
_LEAST_WIDTH = 30  # of a column that is wrapped


def advise(  # noqa: PLR0913, PLR0917 - the options of a command line
    file: options.File,
    tasks: Annotated[
        list[str] | None, typer.Option("--task", metavar="TASK", help="Only this one; repeatable.")
    ] = None,
    measure: Annotated[
        bool,
        typer.Option("--measure", help="Run the functions, alone and together, in each mode."),
    ] = False,
    times: Annotated[
        int | None,
        typer.Option("--times", min=1, max=100, help="How many rounds each is measured. [3]"),
    ] = None,
    yes: options.Yes = False,
    apply: Annotated[
        bool, typer.Option("--apply", help="Write the modes that are advised into FILE.")
    ] = False,
    params: options.Params = None,
    as_json: options.AsJson = False,
    state_dir: options.StateDir = None,
    no_keeper: options.NoKeeper = False,
) -> None:
    """Say which tasks of FILE should be threads, and which processes, and why.

    From recorded runs of the job; with --measure by running its functions. Exit code 0, however
    much there is to change.
    """
    data = given.job_bytes(file)
    loaded = load(file, given.choices(params), data=data)
    if apply and file == STDIN:
        raise UsageError("--apply: there is no file to write to")
    wanted = _wanted(loaded, tasks)
    if not measure and (yes or times is not None):
        raise UsageError(f"{'--yes' if yes else '--times'} goes with --measure")
    times = (times or _TIMES) if measure else None
    if times is not None:
        _ask(loaded, wanted, times, yes=yes)
    state = state_directory(loaded.plan.root, state_dir)
    if any(task.auto for task in loaded.plan.tasks.values()):
        from orchestrator.advice import auto  # noqa: PLC0415 - few leave it open

        auto.settle(loaded, state_dir, only_recall=True)
    with measuring(kept=not no_keeper) if measure else nullcontext():
        from orchestrator.advice import advising  # noqa: PLC0415 - after the fork

        verdict, hazards = advising.advice(loaded, state, wanted, times, sayer(quiet=as_json))
    shown = [advice for name, advice in verdict.tasks.items() if not tasks or name in tasks]
    if as_json:
        document = advising.document(loaded, verdict, shown, hazards)
        if apply:
            document["applied"] = advising.apply(file, loaded, shown)
        emit_json(document)
        return
    command = None if apply else _command(file, params, tasks, state_dir)
    emit(_text(command, loaded, verdict, shown))
    for hazard in hazards:
        say(f"orch: warning: {printable(hazard.text())}")
    if apply:
        emit(advising.apply(file, loaded, shown) or "nothing to change\n")


def _wanted(loaded: Loaded, names: list[str] | None) -> list[str] | None:
    """Return the functions that are asked for; None for all. Raises ``UsageError``."""
    functions = [name for name, task in loaded.plan.tasks.items() if task.function is not None]
    for name in names or ():
        if name not in loaded.plan.tasks:
            near = did_you_mean(name, loaded.plan.tasks)
            raise UsageError(f"--task: no task {quote(name)}{near}")
        if name not in functions:
            raise UsageError(f"--task: {quote(name)} is a program: it has one mode")
    return names or None


def _ask(loaded: Loaded, names: list[str] | None, times: int, *, yes: bool) -> None:
    """Ask whether the functions may be run. Raises ``UsageError``, ``EnvironmentFault``."""
    from orchestrator.advice.measure import measurable, most_attempts  # noqa: PLC0415 - if asked for

    found = measurable(loaded.plan, names)
    for name in names or ():
        if name not in [task.name for task in found]:
            raise UsageError(f"--measure: {quote(name)} cannot be run by itself: queues join it")
    most: dict[str, int] = {}
    for task in found:
        function = printable(task.function or "")
        most[function] = most.get(function, 0) + most_attempts(loaded.plan, task, times)
    if most:
        what = ", ".join(f"{function} up to {count} times" for function, count in most.items())
        ask(f"--measure runs {what} in each mode, and imports their modules", yes=yes)


def _command(
    file: str, params: list[str] | None, tasks: list[str] | None, state_dir: str | None
) -> str | None:
    """Return how the same is asked again; None where the file came on stdin."""
    if file == STDIN:
        return None
    options = [part for text in params or () for part in ("-p", text)]
    options += [part for name in tasks or () for part in ("--task", name)]
    options += ["--state-dir", state_dir] if state_dir else []
    return shlex.join(["orch", "advise", file, *options])


def _text(
    command: str | None, loaded: Loaded, verdict: "Verdict", shown: "Sequence[Advice]"
) -> str:
    """Return the advice as a table, and what to do next: *command*, with an option."""

    def following(option: str) -> str:
        return f"; next: {command} {option}" if command is not None else ""

    if not shown:
        return f"{printable(loaded.plan.name)} has no functions: programs have one mode\n"
    told = list(shown)
    if len(shown) > _MOST_ROWS:  # those of which there is something to tell
        told = [one for one in shown if one.advised != one.mode or one.seconds_alone >= _NOTHING_S]
    short = len(shown) - len(told)
    more = max(0, len(told) - _MOST_ROWS)
    told = told[:_MOST_ROWS]
    rows = [["TASK", "MODE", "ADVISED", "SURE", "WHY"]]
    for one in told:
        advised = one.advised if one.advised != one.mode else "-"
        mode = f"auto ({one.mode})" if loaded.plan.tasks[one.task].auto else one.mode
        rows.append([one.task, mode, advised, one.confidence, printable(one.reason)])
    head, *lines = table(rows).splitlines() if told else [""]
    if os.isatty(1):  # or programs would have to put them together again
        lines = [_wrapped(line, head.index(rows[0][-1])) for line in lines]
    if wants_colour(1):
        bold = [one.advised != one.mode for one in told]
        lines = [
            _TEXT.sub(_BOLD, line) if on else line for line, on in zip(lines, bold, strict=True)
        ]
    text = "".join(f"{line}\n" for line in (head, *lines)) if told else ""
    if more:
        text += f"{more} more: --task, or --json for all\n"
    if short:
        text += f"{short} more take{'s' if short == 1 else ''} less than 1 ms: as they are\n"
    return text + _conclusion(verdict, shown, following)


def _wrapped(line: str, indent: int) -> str:
    """Return a line of the table as lines of the terminal, the last column below itself."""
    width = shutil.get_terminal_size().columns
    if len(line) <= width or width - indent < _LEAST_WIDTH:
        return line
    text = _UNIT.sub(_UNBROKEN, line[indent:])  # a number stays with its unit
    parts = textwrap.wrap(text, width - indent, break_on_hyphens=False)
    return line[:indent] + f"\n{' ' * indent}".join(parts).replace(_UNBROKEN, " ")


def _conclusion(
    verdict: "Verdict", shown: "Sequence[Advice]", following: "Callable[[str], str]"
) -> str:
    """Return what follows for the whole job, and what to do next."""
    if verdict.now_s is None or verdict.advised_s is None:
        asked = any(one.evidence == "none" and "not measured" in one.reason for one in shown)
        return f"\nnothing is known of it yet{'' if asked else following('--measure')}\n"
    least = "at least " if verdict.unknown else ""
    text = "\n"
    if all(one.advised == one.mode for one in verdict.tasks.values()):
        known = "as far as is known " if verdict.unknown else ""
        text += f"{known}the modes are right: a run takes {least}about {show(verdict.now_s)}\n"
    else:
        saved = 1 - verdict.advised_s / verdict.now_s
        how = f" instead of {show_finely(verdict.now_s)}"
        how += f" ({saved:.0%} less)" if saved >= _TOLD else ", for the reasons above"
        if verdict.failing:
            names = _listed(verdict.failing)
            how = f"; as it is {names} fail{'s' if len(verdict.failing) == 1 else ''}"
        unsure = any(
            one.advised != one.mode and one.confidence == "low" and one.evidence != "measured"
            for one in shown
        )
        text += (
            f"as advised a run takes {least}about {show_finely(verdict.advised_s)}{how}"
            f"{following('--measure' if unsure else '--apply')}\n"
        )
    if verdict.recorded_s is not None and not verdict.explained:
        text += (
            f"runs as they are took {show_finely(verdict.recorded_s)}: what is known of the tasks "
            "does not explain that, so all this is less sure\n"
        )
    if verdict.unknown:
        text += f"nothing is known of {_listed(verdict.unknown)}\n"
    return text


def _listed(names: Sequence[str]) -> str:
    """Return the first of *names*, and how many more there are."""
    more = len(names) - _MOST_NAMES
    return ", ".join(map(quote, names[:_MOST_NAMES])) + (f" and {more} more" if more > 0 else "")
