"""An item as a value and as a line.

JSON as the output of a task is, and by the same rules; at most 1 MiB. Text is taken byte for byte:
what is not UTF-8 travels as lone surrogates.
"""

from __future__ import annotations

import re

from orchestrator import jsonio

try:
    import orjson
except ImportError:  # it cannot be had in an interpreter beside the first one
    _STRICT = None
else:
    _STRICT = (
        orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME
        | orjson.OPT_PASSTHROUGH_SUBCLASS
    )  # fmt: skip

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Encode = Callable[[Any], bytes]
    Decode = Callable[[bytes], Any]

MAX_BYTES = jsonio.MAX_BYTES
# A whole number that orjson would read as a float.
_LONG = re.compile(rb"\d{19}").search

_DEEP = 400  # brackets; what has fewer is nothing to be afraid of


class TooDeep(ValueError):
    """JSON that is nested deeper than orch can read."""


def encode_json(value: Any) -> bytes:
    """Return *value* as a line without its newline. Raises ``OutputError``."""
    try:
        line = orjson.dumps(value, option=_STRICT)
    except TypeError:  # half a character, a very long number, or no JSON at all
        return _encode_slowly(value)
    if b"null" in line and value is not None:  # orjson writes NaN so
        return _encode_slowly(value)
    if len(line) > MAX_BYTES:
        raise jsonio.OutputError(
            f"the item is {len(line)} bytes of JSON, expected at most {MAX_BYTES}"
        )
    return line


def decode_json(line: bytes) -> Any:
    """Return the value of a line. Raises ``ValueError`` where it is not JSON."""
    if len(line) > 18 and _LONG(line):  # noqa: PLR2004
        return _decode_slowly(line)
    return orjson.loads(line)


def _encode_slowly(value: Any) -> bytes:
    return jsonio.dumps(value, "the item").encode()


def _decode_slowly(line: bytes) -> Any:
    try:
        return jsonio.loads(line)
    except jsonio.OutputError as error:
        raise ValueError(str(error)) from None


def encode_text(value: Any) -> bytes:
    """Return *value*, which is text of one line, as that. Raises ``OutputError``."""
    if not isinstance(value, str):
        kind = type(value).__name__
        raise jsonio.OutputError(f"the item is a `{kind}`, expected text (format: text)")
    if "\n" in value:
        raise jsonio.OutputError("the item holds a newline, and is a line (format: text)")
    try:
        line = value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise jsonio.OutputError("the item holds half a character (a surrogate)") from None
    if len(line) > MAX_BYTES:
        raise jsonio.OutputError(f"the item is {len(line)} bytes, expected at most {MAX_BYTES}")
    return line


def decode_text(line: bytes) -> str:
    """Return the text of a line."""
    return line.decode("utf-8", "surrogateescape")


def check_json(line: bytes) -> None:
    """Raise ``ValueError`` where *line* is not JSON, ``TooDeep`` where orch could not read it."""
    orjson.loads(line)
    if line.count(b"[") + line.count(b"{") > _DEEP:
        try:
            jsonio.loads(line)
        except jsonio.OutputError as error:
            raise TooDeep(str(error)) from None


CODECS: dict[str, tuple[Encode, Decode]] = {
    "json": (encode_json, decode_json) if _STRICT else (_encode_slowly, _decode_slowly),
    "text": (encode_text, decode_text),
}
