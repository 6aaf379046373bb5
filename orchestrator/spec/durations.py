"""Durations: seconds (``90``, ``0.1``) or text (``1h30m``, ``1.5s``)."""

from __future__ import annotations

_UNITS_S = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_PART = r"(\d+(?:\.\d+)?)\s*(ms|[dhms])\s*"
LONGEST_S = 10 * 366 * 86400.0
EXPECTED = "expected seconds (`90`) or text (`1h30m`)"


def seconds(value: float | str) -> float:
    """Return *value* in seconds.

    Raises ``ValueError``, with a message for the user, for anything else than a
    finite number from 0 to ten years, or text that reads as one.
    """
    from math import isfinite, isnan  # noqa: PLC0415 - for reading a file only

    result = _parse(value) if isinstance(value, str) else value
    try:
        result = float(result)
    except OverflowError:
        result = float("inf")
    if isnan(result):
        raise ValueError(f"is not a number; {EXPECTED}")
    if not isfinite(result) or result > LONGEST_S:
        raise ValueError("is longer than ten years; leave it out for no limit")
    if result < 0:
        raise ValueError(f"is negative; {EXPECTED}")
    return result


def _parse(text: str) -> float:
    import re  # noqa: PLC0415 - for reading a file only

    stripped = text.strip()
    part = re.compile(_PART)
    total, end, unit_before = 0.0, 0, float("inf")
    while match := part.match(stripped, end):
        unit_s = _UNITS_S[match[2]]
        if unit_s >= unit_before:
            break
        total += float(match[1]) * unit_s
        end, unit_before = match.end(), unit_s
    if not stripped or end != len(stripped):
        if ":" in stripped:
            raise ValueError(f"is a clock time, not a duration; {EXPECTED}")
        raise ValueError(f"is not a duration; {EXPECTED}")
    return total


def show_finely(duration_s: float) -> str:
    """Return it with one digit more where several are compared: ``0.42 s``."""
    is_between = 0.095 <= duration_s < 9.995  # noqa: PLR2004
    return f"{duration_s:.2f} s" if is_between else show(duration_s)


def show(duration_s: float) -> str:
    """Return a duration for people: ``0.4 s``, ``12 s``, ``3 min 05 s``, ``2 h 10 min``."""
    if duration_s < 0.095:  # noqa: PLR2004 - below this, milliseconds say more
        return f"{duration_s * 1000:.0f} ms"
    if duration_s < 10:  # noqa: PLR2004
        return f"{duration_s:.1f} s"
    whole = round(duration_s)
    if whole < 60:  # noqa: PLR2004
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:  # noqa: PLR2004
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"
