"""Template expressions that are more than a look-up: Jinja2, in its sandbox."""

from collections.abc import Callable, Mapping
from typing import Any

import jinja2
from jinja2 import StrictUndefined, nodes
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from orchestrator.errors import TemplateError
from orchestrator.plan.environment import Environment
from orchestrator.spec.words import printable, quote

Names = frozenset[tuple[str, ...]]


MAX_BITS = 10_000
MAX_LENGTH = 2**20


class _Environment(ImmutableSandboxedEnvironment):
    """A sandbox in which ``.`` looks at keys only: ``output.items`` is the key `items`."""

    intercepted_binops = frozenset({"**", "*"})

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Refuse what would take all time or memory to compute."""
        if operator == "**" and isinstance(left, int) and isinstance(right, int):
            if right * left.bit_length() > MAX_BITS:
                raise SecurityError("the number is too large")
        elif operator == "*":
            for long, count in ((left, right), (right, left)):
                if isinstance(long, str | list) and isinstance(count, int):
                    _limit(len(long) * count)
        return super().call_binop(context, operator, left, right)

    def getattr(self, obj: Any, attribute: str) -> Any:
        if isinstance(obj, Mapping) and attribute in obj:
            return obj[attribute]
        if isinstance(obj, list) and attribute.isdigit() and int(attribute) < len(obj):
            return obj[int(attribute)]
        if isinstance(obj, Environment):
            obj.refuse(attribute)
        return self.undefined(obj=obj, name=attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        try:
            return obj[argument]
        except (LookupError, TypeError):
            if isinstance(obj, Environment):
                obj.refuse(argument)
            return self.undefined(obj=obj, name=argument)


def _limit(length: int) -> None:
    if length > MAX_LENGTH:
        raise SecurityError(f"that is {length} long, expected at most {MAX_LENGTH}")


def _range(*bounds: int) -> range:
    result = range(*bounds)
    _limit(len(result))
    return result


_ENVIRONMENT = _Environment(undefined=StrictUndefined, autoescape=False)
_GLOBALS = {"range": _range}  # of what Jinja2 has, only this is of use here
_ENVIRONMENT.globals = _GLOBALS  # type: ignore[assignment]
_FAILURES = (
    jinja2.TemplateError, ArithmeticError, AttributeError, LookupError, MemoryError, NameError,
    RecursionError, SyntaxError, TypeError, ValueError,
)  # fmt: skip


def compile_expression(source: str) -> tuple[Callable[[Mapping[str, Any]], Any], Names]:
    """Return a function of the names that gives the value, and the paths it looks up.

    Raises ``TemplateError`` where *source* is not an expression.
    """
    try:
        run = _ENVIRONMENT.compile_expression(source, undefined_to_none=False)
        tree = _ENVIRONMENT.parse("{{ (" + source + "\n) }}")
    except _FAILURES as error:
        raise _failed(source, error) from None

    def value(names: Mapping[str, Any]) -> Any:
        try:
            result = run(names)
            if isinstance(result, StrictUndefined):
                str(result)  # raises, saying what is undefined
            return _plain(result, source)
        except TemplateError:
            raise
        except _FAILURES as error:
            raise _failed(source, error) from None

    return value, frozenset(_names(tree))


def _failed(source: str, error: BaseException) -> TemplateError:
    said = printable(str(error)).rstrip(".") or type(error).__name__
    if isinstance(error, RecursionError):
        said = "it is nested too deep"
    return TemplateError(f"template {quote(source)}: {said}")


def _plain(value: Any, source: str) -> Any:
    """Return *value* as JSON data: what the filters of Jinja2 return may be lazy."""
    if isinstance(value, int) and value.bit_length() > MAX_BITS:
        raise TemplateError(f"template {quote(source)}: the number is too large")
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(item, source) for key, item in value.items()}
    if isinstance(value, list | tuple | range | set) or hasattr(value, "__next__"):
        return [_plain(item, source) for item in value]
    raise TemplateError(f"template {quote(source)} gives a {type(value).__name__}")


def _names(tree: nodes.Template) -> set[tuple[str, ...]]:
    """Return the longest written-out paths in *tree*."""
    found: set[tuple[str, ...]] = set()

    def walk(node: nodes.Node) -> None:
        path = _path(node)
        if path is not None:
            if path[0] not in _GLOBALS:
                found.add(path)
            return
        if isinstance(node, nodes.Getattr | nodes.Getitem):
            inner = _longest(node)
            if inner is not None:
                found.add(inner)
        for child in node.iter_child_nodes():
            if isinstance(node, nodes.Getattr | nodes.Getitem) and child is node.node:
                if _path(child) is None:
                    walk(child)
                continue
            walk(child)

    walk(tree)
    return found


def _longest(node: nodes.Node) -> tuple[str, ...] | None:
    """Return the written-out beginning of a look-up that goes on with something computed."""
    while isinstance(node, nodes.Getattr | nodes.Getitem):
        node = node.node
        if (path := _path(node)) is not None:
            return path
    return None


def _path(node: nodes.Node) -> tuple[str, ...] | None:
    keys: list[str] = []
    while True:
        match node:
            case nodes.Name():
                return (node.name, *reversed(keys))
            case nodes.Getattr():
                keys.append(node.attr)
                node = node.node
            case nodes.Getitem(arg=nodes.Const() as const):
                keys.append(str(const.value))
                node = node.node
            case _:
                return None
