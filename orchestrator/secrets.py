"""Values that orch gives to tasks and never writes itself: the environment variables of `secrets:`.

A value is known in the forms in which it may stand in a text: as it is, and escaped as JSON, by
``repr`` or for a terminal, also twice. The lines of a value are as secret as the whole. A value
that was encoded, hashed or cut into pieces otherwise is not recognised.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from itertools import pairwise

from orchestrator import jsonio
from orchestrator.errors import EnvironmentFault
from orchestrator.events import Arrived, Ended, Expanded, Failure, Noted, Postponed, Spoiled
from orchestrator.plan.environment import secret
from orchestrator.spec.words import listing, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

    from orchestrator.errors import Report
    from orchestrator.events import Event

MIN_LENGTH = 4  # what is shorter stands in every text, by chance
_MIN_LINE = 8  # and a line of a value, or its beginning
_MAX_DEPTH = 100  # of what a task says; deeper is left out
_CUTS = re.compile("[…`]")  # where a message was cut, or ends what it quotes


class Secrets:
    """The values of *names*, taken from *environment*.

    *missing* are those without a value, *short* those whose value is too short to be kept.
    """

    def __init__(self, names: Iterable[str], environment: Mapping[str, str | None]) -> None:
        values = {name: environment.get(name) or "" for name in names}
        self.missing = [name for name, value in values.items() if not value]
        self.short = [name for name, value in values.items() if 0 < len(value) < MIN_LENGTH]
        self.names = frozenset(values)
        self._names: dict[str, str] = {}
        for name, value in values.items():
            for part in _parts(value):
                for form in _forms(part):
                    self._names.setdefault(form, name)
        longest = sorted(self._names, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest))) if longest else None

    def require(self) -> None:
        """Raise ``EnvironmentFault`` where a value is missing, or too short to be a secret."""
        if self.missing:
            plural, them = ("s", "them") if len(self.missing) > 1 else ("", "it")
            names = listing(self.missing, "and")
            raise EnvironmentFault(f"missing secret{plural} {names}; set {them} in the environment")
        if self.short:
            plural, have = ("s", "have") if len(self.short) > 1 else ("", "has")
            raise EnvironmentFault(
                f"secret{plural} {listing(self.short, 'and')} {have} less than {MIN_LENGTH} "
                "characters; any text may hold as many"
            )

    def find(self, text: str) -> str | None:
        """Return the name of a secret whose value stands in *text*."""
        return next((name for form, name in self._names.items() if form in text), None)

    def place(self, text: str) -> tuple[str, int] | None:
        """Return the name of the first secret whose value stands in *text*, and where."""
        found = self._pattern.search(text) if self._pattern is not None else None
        return None if found is None else (self._names[found[0]], found.start())

    def find_in(self, value: Any) -> str | None:
        """Return the name of a secret whose value stands somewhere in *value*, JSON data."""
        stack = [value]
        while stack:
            item = stack.pop()
            if isinstance(item, Mapping):
                stack += [*item.keys(), *item.values()]
            elif isinstance(item, list | tuple):
                stack += item
            elif item is not None and not isinstance(item, bool):
                name = self.find(_text(item))
                if name is not None:
                    return name
        return None

    def find_in_json(self, text: str) -> str | None:
        """Return the name of a secret whose value stands in *text*, which is JSON."""
        name = self.find(text)
        if name is None and "\\" in text:  # an escape within text that is escaped itself
            try:
                name = self.find_in(jsonio.loads(text))
            except jsonio.OutputError:
                return None
        return name

    def held_by(self, item: str) -> str | None:
        """Return the name of a secret that *item*, JSON text, contains, or did when recorded."""
        gone = (name for name in self.names if f"***{name}***" in item)
        return self.find_in_json(item) or next(gone, None)

    def mask(self, text: str) -> str:
        """Return *text* with ``***NAME***`` in the place of each value."""
        if self._pattern is not None and self.find(text) is not None:
            text = self._pattern.sub(lambda found: f"***{self._names[found[0]]}***", text)
        return self._without_beginnings(text)

    def _without_beginnings(self, text: str) -> str:
        """Mask what a message that was cut left of a value."""
        cuts = [found.start() for found in _CUTS.finditer(text)]
        if not cuts:
            return text
        kept = []
        for start, end in pairwise([0, *cuts, len(text)]):
            piece = text[start:end]
            kept.append(piece if end == len(text) else self._without_beginning(piece))
        return "".join(kept)

    def _without_beginning(self, piece: str) -> str:
        for form, name in self._names.items():
            head = form[:_MIN_LINE]
            at = piece.rfind(head)
            while len(head) == _MIN_LINE and at >= 0:
                if form.startswith(piece[at:]):
                    return f"{piece[:at]}***{name}***"
                at = piece.rfind(head, 0, at)
        return piece

    def mask_in(self, value: Any, depth: int = 0) -> Any:
        """Return *value*, JSON data, with each text in it masked, keys too."""
        if isinstance(value, str):
            return self.mask(value)
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, Mapping | list | tuple):
            if depth > _MAX_DEPTH:
                return "…"
            if isinstance(value, Mapping):
                pairs = value.items()
                return {self.mask(str(key)): self.mask_in(v, depth + 1) for key, v in pairs}
            return [self.mask_in(item, depth + 1) for item in value]
        text = _text(value)
        return value if self.find(text) is None else self.mask(text)

    def mask_json(self, text: str) -> str:
        """Return *text*, JSON of which a part is a secret, masked; still JSON."""
        try:
            return json.dumps(self.mask_in(jsonio.loads(text)), ensure_ascii=False)
        except jsonio.OutputError:
            return json.dumps(f"***{self.find(text)}***")

    def mask_bytes(self, data: bytes) -> bytes:
        """Return *data*, UTF-8, masked."""
        return self.mask(data.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")

    def masking(self, write: Callable[[bytes], None]) -> Callable[[bytes], None]:
        """Return what masks data and then writes it."""
        return lambda data: write(self.mask_bytes(data))

    def mask_report(self, report: Report) -> Report:
        """Return *report* masked, its source line too."""
        problem = report.problem
        hint = None if problem.hint is None else self.mask(problem.hint)
        where = tuple(self.mask(part) if isinstance(part, str) else part for part in problem.where)
        said = problem._replace(where=where, message=self.mask(problem.message), hint=hint)
        return report._replace(problem=said, source_line=self.mask(report.source_line))

    # Events

    def heard(self, event: Event) -> Event:
        """Return *event*, as it came from a task, in the form in which it may be folded.

        An ``Arrived`` is left as it is: its item is still to be given back, or set aside.
        """
        match event:
            case Ended():
                return self._ended(event)
            case Noted():
                return event._replace(data=self.mask_in(event.data))
            case Postponed():
                return event._replace(reason=self.mask(event.reason))
            case Spoiled():
                return event._replace(error=self._failure(event.error))
            case Expanded(task, items, _, at) if name := self.find_in_json(items):
                error = Failure("OutputError", f"its items contain the secret `{name}`")
                return Ended(task, 0, "launch_failed", at, error=error, final=True)
        return event

    def _ended(self, event: Ended) -> Ended:
        if event.error is not None:
            event = event._replace(error=self._failure(event.error))
        if event.output is None or (name := self.find_in_json(event.output)) is None:
            return event
        if event.outcome != "ok":
            return event._replace(output=None)
        error = Failure("OutputError", f"the output contains the secret `{name}`")
        return event._replace(outcome="failed", output=None, error=error)

    def _failure(self, failure: Failure) -> Failure:
        trace = failure.traceback
        masked = None if trace is None else self.mask(trace)
        return Failure(self.mask(failure.type), self.mask(failure.message), masked)

    def told(self, event: Any) -> Any:
        """Return *event*, which was folded, as it may be recorded."""
        if isinstance(event, Arrived) and self.find_in_json(event.item) is not None:
            return event._replace(item=self.mask_json(event.item))
        return event


def withheld(
    names: Iterable[str], secrets: Secrets, environment: Mapping[str, str | None]
) -> dict[str, str]:
    """Return the variables of *environment* that templates do not see, each with the reason."""
    reasons = {name: secret(name) for name in names}
    for name, value in environment.items():
        if name not in reasons and value and (held := secrets.find(value)) is not None:
            reasons[name] = secret(name, held)
    return reasons


def _parts(value: str) -> Iterator[str]:
    """Yield *value*, and each line of it that says something."""
    if len(value) >= MIN_LENGTH:
        yield value
        lines = value.splitlines()
        if len(lines) > 1 or lines[0] != value:
            yield from (line.strip() for line in lines if len(line.strip()) >= _MIN_LINE)


def _forms(value: str) -> set[str]:
    """Return the forms in which *value* may stand in a text: not, once or twice escaped."""
    once = {value, *_escaped(value)}
    return once | {form for each in once for form in _escaped(each)}


def _escaped(value: str) -> Iterator[str]:
    data = value.encode("utf-8", "surrogateescape")
    yield json.dumps(value)[1:-1]
    yield json.dumps(value, ensure_ascii=False)[1:-1]
    yield repr(value)[1:-1]
    yield ascii(value)[1:-1]
    yield repr(data)[2:-1]
    yield printable(value)
    yield value.encode("utf-8", "backslashreplace").decode()
    yield data.decode("utf-8", "backslashreplace")


def _text(value: Any) -> str:
    try:
        return str(value)
    except ValueError:  # a number of more digits than Python turns into text
        return ""
