"""How messages speak of what a user wrote."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

_CUT = 40


def printable(text: str) -> str:
    """Return *text* with everything that could steer a terminal written as an escape."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def quote(value: object) -> str:
    """Return *value* in backticks, escaped, cut at 40 characters."""
    text = printable(str(value)[: _CUT * 2])
    if len(text) > _CUT:
        text = text[: _CUT - 1] + "…"
    return f"`{text}`"


def found(value: Any) -> str:
    """Name what stands in the file: ``text `yes` ``, ``number `3` ``, ``a list``."""
    match value:
        case None:
            return "nothing"
        case bool():
            return f"`{str(value).lower()}`"
        case int() | float():
            return f"number {_number(value)}"
        case str():
            return f"text {quote(value)}"
        case list():
            return "a list"
        case dict():
            return "a mapping"
    return quote(value)


def _number(value: float) -> str:
    try:
        return quote(value)
    except ValueError:  # an int of more digits than Python turns into text
        return "`a very long number`"


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known name that *word* was probably meant to be."""
    from difflib import get_close_matches  # noqa: PLC0415 - only a mistake pays for it

    names = {name.casefold(): name for name in known}
    close = get_close_matches(word.casefold()[:80], names, n=1, cutoff=0.6)
    return names[close[0]] if close else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``; did you mean `name`?``, or nothing where no name is near."""
    name = nearest(word, known)
    return f"; did you mean `{name}`?" if name else ""


def listing(names: Sequence[str], last: str = "or") -> str:
    """Return ```a`, `b` or `c` ``."""
    ticked = [f"`{name}`" for name in names]
    if len(ticked) <= 1:
        return "".join(ticked)
    return f"{', '.join(ticked[:-1])} {last} {ticked[-1]}"
