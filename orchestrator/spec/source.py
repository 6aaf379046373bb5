"""Reading YAML strictly, by parser events, each node with its line and column.

One mapping, list or scalar a node; no tags, anchors, aliases, merges, duplicate keys or
second documents; plain scalars by the YAML 1.2 core schema, except that a number with a leading
zero is text. Places are not kept while reading (they cost more memory than the values):
``Source.locate`` reads the text a second time, which only a mistake pays for.
"""

from __future__ import annotations

import re

import yaml
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from orchestrator.errors import Mark, Problem, Report
from orchestrator.spec.words import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from orchestrator.errors import Where

_LOADER: Any = getattr(yaml, "CLoader", yaml.Loader)  # only its events are used
MAX_DEPTH = 32
_LIBYAML_TOO_DEEP = "exceeded maximum nesting depth"
_MAX_DIGITS = 4000

_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_INT = re.compile(r"[-+]?(0|[1-9][0-9]*)\Z")
_BASED = re.compile(r"0(o[0-7]+|x[0-9a-fA-F]+)\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
_WORDS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}
_NUMERIC = frozenset("0123456789+-.")

# libyaml's words, and what a person can do about them.
_SYNTAX = {
    "mapping values are not allowed in this context": "`: ` inside a plain value, or wrong "
    "indentation; quote the value if it is meant to hold `: `",
    "block sequence entries are not allowed in this context": "a list cannot start here; "
    "put it on a line of its own",
    "could not find expected ':'": "expected `key: value`",
    "did not find expected key": "wrong indentation, or the end of a mapping: expected a key in "
    "line with the others",
    "did not find expected '-' indicator": "wrong indentation, or the end of a list: expected `-`",
    "did not find expected ',' or ']'": "the bracket `[` is not closed; expected `,` or `]`",
    "did not find expected ',' or '}'": "the bracket `{` is not closed; expected `,` or `}`",
    "did not find expected node content": "expected a value; a bracket is not closed",
    "found a tab character that violates indentation": "tab as indentation; use spaces",
    "found a tab character where an indentation space is expected": "tab as indentation; "
    "use spaces",
    "found unexpected end of stream": "the quote is not closed",
    "found unexpected document indicator": "the quote is not closed",
    "found unknown escape character": "unknown escape in double quotes; use single quotes, "
    "or write the backslash twice",
    "found invalid Unicode character escape code": "this escape is not a character",
    "found unknown directive name": "a line cannot start with `%`; quote it",
    "found unexpected non-alphabetical character": "a line cannot start with `%`; quote it",
    "did not find expected <document start>": "the document has ended; nothing can follow",
}


class _TooDeep(Exception):
    pass


class Source:
    """A text of YAML, the plain value it holds, and what is wrong with it as YAML.

    *value* is None where *problems* left nothing to go on with; otherwise it can be checked
    further, so that all the errors of a file are reported at once. *poisoned* holds the paths of
    the values that stand for something refused.
    """

    def __init__(self, name: str, data: bytes) -> None:
        self.name, self.data = name, data
        self.problems: list[Problem] = []
        self.poisoned: set[Where] = set()
        self.value: Any = None
        self._marks: dict[Where, tuple[Mark, Mark]] | None = None
        self.text = self._decode(data)
        if not self.problems:
            self.value = _Builder(self).build(marks=None)

    def _decode(self, data: bytes) -> str:
        if data.startswith((b"\xff\xfe", b"\xfe\xff")):
            return self._refuse("the file is UTF-16, expected UTF-8; save it as UTF-8", Mark(1, 1))
        try:
            text = data.removeprefix(b"\xef\xbb\xbf").decode()
        except UnicodeDecodeError as error:
            mark = _mark_of(data[: error.start].decode(errors="replace"))
            message = f"byte 0x{data[error.start]:02x} is not UTF-8; save the file as UTF-8"
            return self._refuse(message, mark)
        bad = _FORBIDDEN.search(text)
        if bad is None:
            return text
        message = f"{quote(bad[0])} is a control character, which YAML does not allow"
        if bad[0] == "\0" and text.count("\0") * 3 > len(text):
            message = "the file is UTF-16 or binary, expected UTF-8; save it as UTF-8"
        return self._refuse(message, _mark_of(text[: bad.start()]))

    def _refuse(self, message: str, mark: Mark) -> str:
        self.problems.append(Problem((), message, mark=mark))
        return ""

    def locate(self, where: Where, *, at_key: bool = False) -> Mark:
        """Return the place of the value at *where*, or of its key; of the nearest that exists."""
        if self._marks is None:
            self._marks = {}
            if self.text:
                quiet = Source.__new__(Source)
                quiet.name, quiet.text, quiet.problems, quiet.poisoned = (
                    self.name, self.text, [], set(),
                )  # fmt: skip
                _Builder(quiet).build(marks=self._marks)
        while where:
            if (pair := self._marks.get(where)) is not None:
                return pair[0] if at_key else pair[1]
            where, at_key = where[:-1], True
        return self._marks.get((), (Mark(1, 1), Mark(1, 1)))[1]

    def line(self, number: int) -> str:
        """Return line *number* (from 1) of the text."""
        lines = self.text.split("\n", number)
        return lines[number - 1].rstrip("\r") if number <= len(lines) else ""

    def report(self, problems: list[Problem]) -> list[Report]:
        """Tie *problems* to their places, in the order of their lines, each told once."""
        reports: dict[tuple[Mark, str], Report] = {}
        for problem in problems:
            mark = problem.mark or self.locate(problem.where, at_key=problem.at_key)
            report = Report(self.name, mark, problem, self.line(mark.line))
            reports.setdefault((mark, problem.message), report)
        return sorted(reports.values(), key=lambda r: (r.mark.line, r.mark.column))


class _Builder:
    """Turns the events of one text into a value."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.path: list[str | int] = []
        self.marks: dict[Where, tuple[Mark, Mark]] | None = None
        self._texts: dict[str, str] = {}  # the same text once: names stand in many places

    def build(self, marks: dict[Where, tuple[Mark, Mark]] | None) -> Any:
        self.marks = marks
        return self._read(self.source.text)

    def _read(self, text: str) -> Any:
        try:
            loader: Any = _LOADER(text)
            try:
                return self._stream(iter(loader.get_event, None))
            finally:
                loader.dispose()
        except yaml.MarkedYAMLError as error:
            place = error.problem_mark
            if error.problem == _LIBYAML_TOO_DEEP and place and text is self.source.text:
                self.path.clear()  # it looks ahead: what stands before tells where
                return self._read(text[: place.index])
            self.source.problems.append(self._syntax(error))
        except yaml.YAMLError as error:
            self.source.problems.append(Problem((), f"not YAML: {error}", mark=Mark(1, 1)))
        except _TooDeep:
            pass
        return None

    def _stream(self, events: Iterator[Any]) -> Any:
        next(events)  # the start of the stream
        event = next(events)
        if type(event) is not DocumentStartEvent:
            self._problem("the file is empty; expected a mapping with `tasks`", Mark(1, 1))
            return None
        event = next(events)
        if self.marks is not None:
            self.marks[()] = (_mark(event), _mark(event))
        value = self._node(event, events, 1)
        next(events)  # the end of the document
        event = next(events)
        if type(event) is DocumentStartEvent:
            self._problem("a second document starts here; expected one a file", _mark(event))
        return value

    def _node(self, event: Any, events: Iterator[Any], depth: int) -> Any:
        kind = type(event)
        if kind is ScalarEvent:
            if event.anchor is not None or event.tag is not None:
                self._irregular(event)
            if not event.implicit[0]:
                return event.value
            return self._plain(event.value, event)
        if kind is AliasEvent:
            alias = quote(f"*{event.anchor}")
            self._refuse_here(f"alias {alias}: aliases are not allowed", event)
            return None
        if depth > MAX_DEPTH:
            self._problem(f"nested more than {MAX_DEPTH} deep", _mark(event))
            raise _TooDeep
        if event.anchor is not None or event.tag is not None:
            self._irregular(event)
        if kind is SequenceStartEvent:
            return self._sequence(events, depth)
        return self._mapping(events, depth)

    def _sequence(self, events: Iterator[Any], depth: int) -> list[Any]:
        items: list[Any] = []
        path = self.path
        path.append(0)
        for event in events:
            if type(event) is SequenceEndEvent:
                break
            path[-1] = len(items)
            if self.marks is not None:
                self.marks[tuple(path)] = (_mark(event), _mark(event))
            items.append(self._node(event, events, depth + 1))
        path.pop()
        return items

    def _mapping(self, events: Iterator[Any], depth: int) -> dict[str, Any]:
        result: dict[str, Any] = {}
        path = self.path
        path.append("")
        for event in events:
            if type(event) is MappingEndEvent:
                break
            key = self._key(event, events, depth)
            path[-1] = key
            value_event = next(events)
            if key in result:
                if self.marks is None:
                    self._duplicate(key, event)
                    self.source.poisoned.add(tuple(path))
            elif self.marks is not None:
                self.marks[tuple(path)] = (_mark(event), _mark(value_event))
            value = self._node(value_event, events, depth + 1)
            result.setdefault(key, value)
        path.pop()
        return result

    def _key(self, event: Any, events: Iterator[Any], depth: int) -> str:
        if type(event) is not ScalarEvent:
            path, self.path = self.path, ["?"]
            self._node(event, events, depth + 1)
            self.path = path
            stand_in = f"?{event.start_mark.index}"
            message = "a key is a list, a mapping or an alias; expected text"
            self.source.problems.append(Problem(tuple(self.path[:-1]), message, mark=_mark(event)))
            self.source.poisoned.add((*self.path[:-1], stand_in))
            return stand_in
        if event.anchor is not None or event.tag is not None:
            self._irregular(event)
        key: str = self._texts.setdefault(event.value, event.value)
        self.path[-1] = key
        if event.implicit[0]:
            if key == "<<":
                self._refuse_here("merge key `<<`: merges are not allowed", event)
            elif (key in _WORDS or key[0] in _NUMERIC) and not isinstance(
                self._plain(key, event), str
            ):
                self._problem(f"the key {quote(key)} is not text; quote it", _mark(event))
        return key

    def _duplicate(self, key: str, event: Any) -> None:
        first = self.source.locate(tuple(self.path), at_key=True)
        message = f"the key {quote(key)} stands twice; the first is in line {first.line}"
        self._problem(message, _mark(event))

    def _plain(self, text: str, event: Any) -> Any:
        """Resolve a plain scalar by the core schema."""
        if text in _WORDS:
            return _WORDS[text]
        if text[0] not in _NUMERIC:
            return self._texts.setdefault(text, text)
        if _INT.match(text):
            if len(text) > _MAX_DIGITS:
                self._refuse_here(f"a number of {len(text)} digits", event)
                return None
            return int(text)
        if _BASED.match(text):
            if len(text) > _MAX_DIGITS // 2:
                self._refuse_here(f"a number of {len(text) - 2} digits", event)
                return None
            return int(text, 0)
        if _FLOAT.match(text):
            return float(text)
        return text

    def _irregular(self, event: Any) -> None:
        if event.anchor is not None:
            anchor = quote(f"&{event.anchor}")
            self._refuse_here(f"anchor {anchor}: anchors are not allowed", event)
        if event.tag is not None:
            tag = event.tag.replace("tag:yaml.org,2002:", "!!", 1)
            self._refuse_here(f"tag {quote(tag)}: tags are not allowed", event)

    def _refuse_here(self, message: str, event: Any) -> None:
        self._problem(message, _mark(event))
        self.source.poisoned.add(tuple(self.path))

    def _problem(self, message: str, mark: Mark) -> None:
        self.source.problems.append(Problem(tuple(self.path), message, mark=mark))

    def _syntax(self, error: yaml.MarkedYAMLError) -> Problem:
        said = error.problem or ""
        place = error.problem_mark or error.context_mark
        message = _SYNTAX.get(said, f"not YAML: {said}")
        if "',' or" in said and self._at(error.problem_mark) in ("]", "}"):
            message = f"`{self._at(error.problem_mark)}` closes nothing that is open here"
        elif said.startswith("found unexpected") or "',' or" in said:
            # what was opened says more than where the file ended
            place = error.context_mark or place
        if said == "found character that cannot start any token" and place is not None:
            message = self._bad_start(place)
        if place is None:
            return Problem((), message, mark=Mark(1, 1))
        return Problem((), message, mark=Mark(place.line + 1, place.column + 1))

    def _at(self, place: Any) -> str:
        """Return the character at a mark of libyaml's."""
        return self.source.text[place.index : place.index + 1] if place is not None else ""

    def _bad_start(self, place: Any) -> str:
        character = self._at(place)
        if character == "\t":
            return "tab as indentation; use spaces"
        return f"a value cannot start with {quote(character)}; quote it"


def _mark(event: Any) -> Mark:
    start = event.start_mark
    return Mark(start.line + 1, start.column + 1)


def _mark_of(before: str) -> Mark:
    return Mark(before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)
