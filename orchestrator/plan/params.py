"""Parameters: what a job can be told from outside, each with a type and limits."""

from __future__ import annotations

from orchestrator.errors import Problem, TemplateError, UsageError
from orchestrator.plan import templates
from orchestrator.spec.words import did_you_mean, found, listing, quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from orchestrator.errors import Where
    from orchestrator.plan.draft import Parameter

    MakeAbsolute = Callable[[str], str]

_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")
_LARGEST = 1.7976931348623157e308
_RANGED = ("int", "float", "date")


def declared(params: Mapping[str, Parameter]) -> list[Problem]:
    """Return what is wrong with the declarations themselves, defaults left to ``defaults``."""
    problems: list[Problem] = []
    spellings: dict[str, str] = {}
    for name, param in params.items():
        where: Where = ("params", name)
        twin = spellings.setdefault(name.casefold(), name)
        if twin != name:
            message = f"`{name}` and `{twin}` differ only in case"
            problems.append(Problem(where, message, at_key=True))
        problems += _bounds(param, where)
        if param.pattern is not None:
            problems += _pattern(param, where)
        if param.choices is not None:
            problems += _choices(param, where)
        elif param.type == "choice":
            message = "type `choice` needs `choices: [...]`"
            problems.append(Problem((*where, "type"), message))
        if param.required and "default" in param.given:
            message = "a required parameter has no default; leave one of the two out"
            problems.append(Problem((*where, "required"), message, at_key=True))
    return problems


def _bounds(param: Parameter, where: Where) -> list[Problem]:
    problems: list[Problem] = []
    for key in ("min", "max"):
        bound = getattr(param, key)
        if bound is not None and param.type not in _RANGED:
            message = f"goes with {listing(_RANGED)}, not with type `{param.type}`"
            problems.append(Problem((*where, key), message, at_key=True))
        elif bound is not None and (said := _mistyped(param.type, bound)):
            problems.append(Problem((*where, key), said))
    both = param.min is not None and param.max is not None
    if both and not problems and param.min > param.max:
        message = f"`{param.max}` is less than `min`, which is `{param.min}`"
        problems.append(Problem((*where, "max"), message))
    return problems


def _pattern(param: Parameter, where: Where) -> list[Problem]:
    if param.type not in ("str", "path"):
        message = f"goes with `str` or `path`, not with type `{param.type}`"
        return [Problem((*where, "pattern"), message, at_key=True)]
    import re  # noqa: PLC0415 - few have a pattern

    try:
        re.compile(param.pattern or "")
    except (re.error, RecursionError, OverflowError) as error:
        return [Problem((*where, "pattern"), f"not a regular expression: {error}")]
    return []


def _choices(param: Parameter, where: Where) -> list[Problem]:
    if not param.choices:
        return [Problem((*where, "choices"), "the list is empty")]
    if param.type == "choice":
        return []
    return [
        Problem((*where, "choices", index), said)
        for index, choice in enumerate(param.choices)
        if (said := _mistyped(param.type, choice))
    ]


def _mistyped(kind: str, value: Any) -> str | None:
    try:
        _typed(kind, value)
    except ValueError as error:
        return str(error)
    return None


def defaults(
    params: Mapping[str, Parameter], names: Mapping[str, Any], absolute: MakeAbsolute
) -> tuple[dict[str, Any], list[Problem]]:
    """Return the defaults, filled in from *names* (``env``, ``sys``), and what is wrong in them."""
    values: dict[str, Any] = {}
    problems: list[Problem] = []
    for name, param in params.items():
        if "default" not in param.given:
            continue
        value = param.default
        where = ("params", name, "default")
        try:
            if isinstance(value, str) and "{{" in value:
                template = templates.parse(value)
                if template.roots - {"env", "sys"}:
                    raise TemplateError("a default can look at `env` and `sys` only")
                value = template.render(names)
            values[name] = value if value is None else checked(param, value, absolute)
        except (ValueError, TemplateError) as error:
            problems.append(Problem(where, str(error)))
    return values, problems


def given(
    params: Mapping[str, Parameter],
    values: Mapping[str, Any],
    absolute: MakeAbsolute,
) -> dict[str, Any]:
    """Return the *values* given from outside, typed and checked.

    Text is read as the parameter's type. Raises ``UsageError``, naming every mistake.
    """
    result: dict[str, Any] = {}
    wrong: list[str] = []
    for name, value in values.items():
        if name not in params:
            known = f"; known: {listing(sorted(params), 'and')}" if params else "; the job has none"
            near = did_you_mean(name, params) or known
            wrong.append(f"unknown parameter {quote(name)}{near}")
            continue
        param = params[name]
        try:
            typed = _from_text(param, value) if isinstance(value, str) else value
            result[name] = checked(param, typed, absolute)
        except ValueError as error:
            wrong.append(f"parameter `{name}`: {error}")
    if wrong:
        raise UsageError("; ".join(wrong))
    return result


def missing(params: Mapping[str, Parameter], values: Mapping[str, Any]) -> list[str]:
    """Return the names of the parameters that must be given and are not."""
    return [
        name for name, param in params.items() if name not in values and param.required is not False
    ]


def checked(param: Parameter, value: Any, absolute: MakeAbsolute) -> Any:
    """Return *value* as the parameter's type. Raises ``ValueError``, its text for the user."""
    if param.type == "choice":
        _among(param, value)
        return value
    typed = _typed(param.type, value)
    if param.min is not None and typed < param.min:
        raise ValueError(f"{quote(value)} is too small, expected at least `{param.min}`")
    if param.max is not None and typed > param.max:
        raise ValueError(f"{quote(value)} is too large, expected at most `{param.max}`")
    if param.pattern is not None and not _matches(param.pattern, typed):
        raise ValueError(f"{quote(value)} does not match the pattern {quote(param.pattern)}")
    if param.choices is not None:
        _among(param, typed)
    return absolute(typed) if param.type == "path" else typed


def _matches(pattern: str, text: str) -> bool:
    import re  # noqa: PLC0415 - few have a pattern

    return re.fullmatch(pattern, text) is not None


def _among(param: Parameter, value: Any) -> None:
    choices = param.choices or []
    if value not in choices or isinstance(value, bool) != isinstance(
        choices[choices.index(value)], bool
    ):
        near = did_you_mean(str(value), [str(choice) for choice in choices])
        raise ValueError(
            f"found {found(value)}, expected {listing([str(choice) for choice in choices])}{near}"
        )


def _typed(kind: str, value: Any) -> Any:
    """Return *value* if it is of type *kind*. Raises ``ValueError`` otherwise."""
    match kind:
        case "bool" if isinstance(value, bool):
            return value
        case "int" if isinstance(value, int) and not isinstance(value, bool):
            return value
        case "float" if isinstance(value, int | float) and not isinstance(value, bool):
            return _finite(value)
        case "str" if isinstance(value, str):
            return value
        case "path" if isinstance(value, str) and value and "\0" not in value:
            return value
        case "date" if isinstance(value, str):
            from datetime import date  # noqa: PLC0415 - few are dates

            try:
                return date.fromisoformat(value).isoformat()
            except ValueError:
                raise ValueError(f"{quote(value)} is not a date, expected `2026-01-31`") from None
    raise ValueError(_expected(kind, value))


def _finite(value: float) -> float:
    try:
        if abs(float(value)) <= _LARGEST:
            return value
    except OverflowError:
        raise ValueError("the number is too large") from None
    raise ValueError(f"found {found(value)}, expected a finite number")


def _expected(kind: str, value: Any) -> str:
    expected = {"bool": "`true` or `false`", "int": "a whole number", "float": "a number"}
    hint = ""
    if isinstance(value, bool | int | float) and kind in ("str", "path", "date"):
        hint = "; quote it"
    elif isinstance(value, str) and kind in expected and _is_plain(value):
        hint = "; remove the quotes"
    return f"found {found(value)}, expected {expected.get(kind, 'text')}{hint}"


def _is_plain(text: str) -> bool:
    """Tell whether *text*, without its quotes, would be a number or a truth value."""
    return text in ("true", "false") or _matches(r"-?[1-9]\d*(\.\d+)?", text)


def _from_text(param: Parameter, text: str) -> Any:
    """Read what was typed on the command line."""
    try:
        match param.type:
            case "int":
                return int(text)
            case "float":
                return float(text)
            case "bool":
                return {**dict.fromkeys(_TRUE, True), **dict.fromkeys(_FALSE, False)}[text.lower()]
            case "choice":
                return next(c for c in param.choices or () if text in (c, str(c)))
    except (ValueError, KeyError, StopIteration):
        return text  # ``checked`` says what was expected
    return text
