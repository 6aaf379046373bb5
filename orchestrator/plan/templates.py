"""Templates: ``{{ … }}`` anywhere in a value.

A value is compiled once into the same value with ``Template`` objects where text held one;
filling it in never reads text again, so that what a parameter or an output holds is never taken for
a template. Plain look-ups (``params.x``, ``tasks.a.output.b``) cost a walk through mappings;
anything more is an expression of Jinja2, in its sandbox.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from orchestrator import jsonio
from orchestrator.errors import TemplateError
from orchestrator.plan.environment import Environment
from orchestrator.spec.words import did_you_mean, quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from orchestrator.errors import Where

ROOTS = ("params", "env", "sys", "run", "item", "tasks")
_ATOMS = frozenset({str, int, float, bool, type(None)})
_WORDS = frozenset({"true", "false", "none", "True", "False", "None", "not"})


class Expression:
    """What stands between ``{{`` and ``}}``.

    *keys* is the path of a plain look-up; *names* are the paths that are looked up at all, as far
    as they are written out: ``("tasks", "a", "output")``. A ``-`` without spaces belongs to a name.
    """

    __slots__ = ("_run", "keys", "names", "source")

    def __init__(
        self, source: str, keys: tuple[str, ...] | None, names: frozenset[tuple[str, ...]]
    ) -> None:
        self.source, self.keys, self.names = source, keys, names
        self._run: Any = None

    @classmethod
    def of(cls, source: str) -> Expression:
        """Return the expression that *source* is. Raises ``TemplateError``."""
        keys = tuple(source.split("."))
        if (
            source not in _WORDS
            and _is_name(keys[0])
            and all(key and _is_name(f"_{key}") for key in keys[1:])
        ):
            return cls(source, keys, frozenset({keys}))
        run, names = _compiled(source)
        found = cls(source, None, names)
        found._run = run
        return found

    def value(self, names: Mapping[str, Any]) -> Any:
        """Return what the expression gives. Raises ``TemplateError``."""
        if self.keys is None:
            if self._run is None:
                self._run = _compiled(self.source)[0]
            return self._run(names)
        value: Any = names
        for depth, key in enumerate(self.keys):
            if isinstance(value, Mapping) and key in value:
                value = value[key]
            elif isinstance(value, list) and key.isdigit() and int(key) < len(value):
                value = value[int(key)]
            else:
                raise TemplateError(missing(self.source, self.keys[:depth], key, value))
        return value


def _is_name(key: str) -> bool:
    return key[:1].isascii() and key[:1] != "-" and key.replace("-", "_").isidentifier()


def _compiled(source: str) -> tuple[Any, frozenset[tuple[str, ...]]]:
    from orchestrator.plan import expressions  # noqa: PLC0415 - only then Jinja2 is paid for

    return expressions.compile_expression(source)


def missing(source: str, before: tuple[str, ...], key: str, value: Any) -> str:
    """Return the message for a look-up of *key* that found nothing."""
    if not before:
        return f"undefined name {quote(key)}{did_you_mean(key, ROOTS)}"
    holder = ".".join(before)
    if isinstance(value, Environment) and key in value.withheld:
        return value.withheld[key]
    if isinstance(value, Mapping):
        near = did_you_mean(key, [k for k in value if isinstance(k, str)])
        return f"`{{{{ {source} }}}}`: {quote(holder)} has no {quote(key)}{near}"
    kind = "null" if value is None else f"a {type(value).__name__}"
    return f"`{{{{ {source} }}}}`: {quote(holder)} is {kind} and has no {quote(key)}"


class Template:
    """Text with expressions in it: ``parts`` are text and expressions in turn."""

    __slots__ = ("names", "parts", "roots", "text")

    def __init__(self, text: str, parts: tuple[str | Expression, ...]) -> None:
        self.text, self.parts = text, parts
        self.names = frozenset(
            name for part in self.parts if isinstance(part, Expression) for name in part.names
        )
        self.roots = frozenset(name[0] for name in self.names)

    def __repr__(self) -> str:
        return f"Template({self.text!r})"

    @property
    def outputs(self) -> frozenset[str]:
        """The tasks whose output is looked up."""
        return frozenset(n[1] for n in self.names if n[0] == "tasks" and len(n) > 1)

    def render(self, names: Mapping[str, Any]) -> Any:
        """Return the filled-in value: of its own type where one ``{{ }}`` is the whole."""
        if len(self.parts) == 1 and isinstance(self.parts[0], Expression):
            return fresh(self.parts[0].value(names))
        return "".join(
            part if isinstance(part, str) else as_text(part.value(names)) for part in self.parts
        )


def _parse(text: str) -> Iterator[str | Expression]:
    position = 0
    while (start := text.find("{{", position)) >= 0:
        if start > position:
            yield text[position:start]
        end = _closing(text, start + 2)
        source = text[start + 2 : end].strip()
        if not source:
            raise TemplateError("empty template `{{ }}`")
        yield Expression.of(source)
        position = end + 2
    if position < len(text):
        yield text[position:]


def _closing(text: str, position: int) -> int:
    """Return where the ``}}`` that belongs to an opened template stands."""
    depth, quoted = 0, ""
    while position < len(text):
        character = text[position]
        if quoted:
            if character == "\\":
                position += 1
            elif character == quoted:
                quoted = ""
        elif character in "\"'":
            quoted = character
        elif character == "{":
            depth += 1
        elif character == "}":
            if depth == 0 and text.startswith("}}", position):
                return position
            depth = max(0, depth - 1)
        position += 1
    raise TemplateError("`{{` without its `}}`")


@lru_cache(maxsize=4096)
def parse(text: str) -> Template:
    """Return the template in *text*. Raises ``TemplateError`` where it is malformed."""
    return Template(text, tuple(_parse(text)))


def as_text(value: Any) -> str:
    """Return a templated value as text: text as it is, the rest as compact JSON."""
    if isinstance(value, str):
        return value
    return jsonio.compact(value)


def compiled(value: Any) -> Any:
    """Return *value* with a ``Template`` wherever text holds one; itself where none does.

    Raises ``TemplateError`` for the first malformed one; ``templates`` tells where each stands.
    """
    match value:
        case str():
            return parse(value) if "{{" in value else value
        case list():
            items = [compiled(item) for item in value]
            return items if any(a is not b for a, b in zip(items, value, strict=True)) else value
        case dict():
            pairs = {key: compiled(item) for key, item in value.items()}
            return pairs if any(pairs[key] is not value[key] for key in value) else value
    return value


def texts(value: Any, where: Where = ()) -> Iterator[tuple[Where, str]]:
    """Yield the place and text of everything in *value* that holds a template."""
    if isinstance(value, str):
        if "{{" in value:
            yield where, value
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from texts(item, (*where, index))
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from texts(item, (*where, key))


def templates(value: Any, where: Where = ()) -> Iterator[tuple[Where, Template]]:
    """Yield the place of each template in a compiled *value*, and the template."""
    if isinstance(value, Template):
        yield where, value
    elif isinstance(value, list):
        for index, item in enumerate(value):
            if item.__class__ not in _ATOMS:  # a list may be long
                yield from templates(item, (*where, index))
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from templates(item, (*where, key))


def fill(value: Any, names: Mapping[str, Any], known: frozenset[str] | None = None) -> Any:
    """Return a compiled *value* with its templates filled in, in containers of its own.

    Where *known* is given, only templates that look at nothing else are filled in.
    Raises ``TemplateError``.
    """
    if isinstance(value, Template):
        return value.render(names) if known is None or value.roots <= known else value
    if isinstance(value, list):
        return [fill(item, names, known) for item in value]
    if isinstance(value, dict):
        return {key: fill(item, names, known) for key, item in value.items()}
    return value


def fresh(value: Any) -> Any:
    """Return a copy of a JSON value that shares no list and no mapping with it."""
    if isinstance(value, list | tuple):
        return [fresh(item) for item in value]
    if isinstance(value, Mapping):
        return {key: fresh(item) for key, item in value.items()}
    return value
