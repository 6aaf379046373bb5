"""What may be the output of a task: JSON, the same in every mode."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

MAX_BYTES = 2**20
_ATOMS = (str, int, float, bool, type(None))
_WORDS = {"null": None, "true": True, "false": False}
_LARGE = 10**15  # a number below is written by all in the same way
_SHORT = 1000
_NOT_SIMPLE = object()
_encode: Callable[[Any, int], Iterable[str]] | None = None


class OutputError(Exception):
    """A result that is not JSON, or too large."""


def dumps(value: Any, what: str = "output") -> str:
    """Return *value* as compact JSON; messages call it *what*.

    Raises ``OutputError``: keys that are not text, numbers that are not finite, objects of other
    types, more than 1 MiB.
    """
    text = simple(value) if value.__class__ in _ATOMS else None
    if text is not None and len(text) <= MAX_BYTES:
        return text
    import json  # noqa: PLC0415 - most outputs are simple, and it costs a third of Python's start

    try:
        _check_keys(value)
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        size_bytes = len(text) if text.isascii() else len(text.encode())
    except RecursionError:
        raise OutputError(f"{what} is not JSON: it is nested too deep, or holds itself") from None
    except UnicodeEncodeError:
        raise OutputError(f"{what} is not JSON: it holds half a character (a surrogate)") from None
    except TypeError as error:
        raise OutputError(f"{what} is not JSON: {_reason(error)}") from None
    except ValueError as error:
        said = str(error)
        reason = "NaN or infinity has no JSON"
        if "Circular" in said:
            reason = "it holds itself"
        elif "digits" in said:
            reason = "a number has too many digits"
        raise OutputError(f"{what} is not JSON: {reason}") from None
    if size_bytes > MAX_BYTES:
        raise OutputError(f"{what} is {size_bytes} bytes of JSON, expected at most {MAX_BYTES}")
    return text


def compact(value: Any) -> str:
    """Return JSON data as compact JSON."""
    try:
        text = simple(value)
    except RecursionError:
        text = None
    if text is not None:
        return text
    import json  # noqa: PLC0415 - not for what is simple

    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def encoded(value: Any) -> str:
    """Return JSON data as compact JSON; fast where there is a lot of it.

    Half characters are escaped: SQLite takes none.
    """
    global _encode  # noqa: PLW0603 - made when it is first needed
    if _encode is None:
        _encode = _encoder()
    text = "".join(_encode(value, 0))
    try:
        text.encode()
    except UnicodeEncodeError:
        return ascii_text(value)
    return text


def _encoder() -> Callable[[Any, int], Iterable[str]]:
    """Return what ``json`` encodes with, without ``json`` where that can be."""
    try:
        from _json import encode_basestring, make_encoder  # noqa: PLC0415
    except ImportError:
        import json  # noqa: PLC0415

        encoder = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
        return lambda value, _: encoder.iterencode(value)
    made: Callable[[Any, int], Iterable[str]] = make_encoder(
        None,
        _no_json,
        encode_basestring,
        None,
        ":",
        ",",
        False,
        False,
        True,
    )
    return made


def _no_json(value: Any) -> Any:
    raise TypeError(f"`{type(value).__name__}` has no JSON")


def ascii_text(value: Any) -> str:
    """Return JSON data as JSON in ASCII, which can hold half characters."""
    import json  # noqa: PLC0415 - seldom needed

    return json.dumps(value)


def simple(value: Any) -> str | None:
    """Return JSON data as compact JSON if that needs no escape; None otherwise."""
    kind = value.__class__
    if kind is str:
        plain = value.isascii() and value.isprintable() and '"' not in value and "\\" not in value
        return f'"{value}"' if plain else None
    if kind is int:
        return repr(value) if -_LARGE < value < _LARGE else None
    if kind is float:
        return repr(value) if -_LARGE < value < _LARGE else None
    if value is None:
        return "null"
    if kind is bool:
        return "true" if value else "false"
    if kind is dict:
        pairs = [(simple(key), simple(item)) for key, item in value.items() if key.__class__ is str]
        if len(pairs) < len(value) or any(None in pair for pair in pairs):
            return None
        return "{" + ",".join(f"{key}:{item}" for key, item in pairs) + "}"
    if kind is list or isinstance(value, tuple):
        items = [simple(item) for item in value]
        return None if None in items else "[" + ",".join(items) + "]"  # type: ignore[arg-type]
    return None


def _read(text: str | bytes) -> Any:
    """Return the value of a simple JSON text."""
    if len(text) > _SHORT or not text.isascii():
        return _NOT_SIMPLE
    text = (text if isinstance(text, str) else text.decode("ascii")).strip(" \t\r\n")
    if text in _WORDS:
        return _WORDS[text]
    if text.isdigit() and (text == "0" or text[0] != "0"):
        return int(text)
    inner = text[1:-1]
    if text[:1] == text[-1:] == '"' and inner.isprintable() and '"' not in inner:
        return inner if len(text) > 1 and "\\" not in inner else _NOT_SIMPLE
    return _NOT_SIMPLE


def _reason(error: TypeError) -> str:
    said = str(error)
    kind = said.removeprefix("Object of type ").removesuffix(" is not JSON serializable")
    return f"`{kind}` has no JSON" if kind != said else said


def _check_keys(value: Any, depth: int = 0) -> None:
    """Refuse keys that json would silently turn into text."""
    if isinstance(value, _ATOMS):
        return
    if depth > 500:  # noqa: PLR2004 - well before the interpreter's own limit
        raise RecursionError
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise TypeError(f"the key `{str(key)[:40]}` is not text")
            _check_keys(item, depth + 1)
    elif isinstance(value, list | tuple):
        for item in value:
            _check_keys(item, depth + 1)


def loads(text: str | bytes) -> Any:
    """Return the value of a task's output. Raises ``OutputError`` where it is not JSON."""
    found = _read(text)
    if found is not _NOT_SIMPLE:
        return found
    import json  # noqa: PLC0415 - most outputs are simple, and it costs a third of Python's start

    try:
        return json.loads(text, parse_constant=_no_constant)
    except RecursionError:
        raise OutputError("output is not JSON: it is nested too deep") from None
    except (ValueError, UnicodeDecodeError) as error:
        if "digits" in str(error):
            raise OutputError("output is not JSON: a number has too many digits") from None
        raise OutputError(f"output is not JSON: {error}") from None


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} has no JSON")
