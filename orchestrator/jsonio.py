"""What may be the output of a task: JSON, the same in every mode."""

import json
from typing import Any

MAX_BYTES = 2**20
_ATOMS = (str, int, float, bool, type(None))


class OutputError(Exception):
    """A result that is not JSON, or too large."""


def dumps(value: Any, what: str = "output") -> str:
    """Return *value* as compact JSON; messages call it *what*.

    Raises ``OutputError``: keys that are not text, numbers that are not finite, objects of other
    types, more than 1 MiB.
    """
    if value is None:
        return "null"
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
