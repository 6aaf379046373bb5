"""Template expressions that are more than a look-up: Jinja2, in its sandbox."""

from collections.abc import Callable, Mapping
from typing import Any

from jinja2 import StrictUndefined, TemplateSyntaxError, UndefinedError, nodes
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from orchestrator.errors import TemplateError
from orchestrator.spec.words import printable, quote

Names = frozenset[tuple[str, ...]]


class _Environment(ImmutableSandboxedEnvironment):
    """A sandbox in which ``.`` looks at keys only: ``output.items`` is the key `items`."""

    def getattr(self, obj: Any, attribute: str) -> Any:
        if isinstance(obj, Mapping) and attribute in obj:
            return obj[attribute]
        if isinstance(obj, list) and attribute.isdigit() and int(attribute) < len(obj):
            return obj[int(attribute)]
        return self.undefined(obj=obj, name=attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        try:
            return obj[argument]
        except (LookupError, TypeError):
            return self.undefined(obj=obj, name=argument)


_ENVIRONMENT = _Environment(undefined=StrictUndefined, autoescape=False)
_GLOBALS = {"range": _ENVIRONMENT.globals["range"]}
_ENVIRONMENT.globals = _GLOBALS  # the look-ups are named; of the rest only `range` is of use
_FAILURES = (UndefinedError, SecurityError, ArithmeticError, LookupError, TypeError, ValueError)


def compile_expression(source: str) -> tuple[Callable[[Mapping[str, Any]], Any], Names]:
    """Return a function of the names that gives the value, and the paths it looks up.

    Raises ``TemplateError`` where *source* is not an expression.
    """
    try:
        tree = _ENVIRONMENT.parse("{{ (" + source + "\n) }}")
        run = _ENVIRONMENT.compile_expression(source, undefined_to_none=False)
    except TemplateSyntaxError as error:
        message = printable((error.message or "syntax error").rstrip("."))
        raise TemplateError(f"template {quote(source)}: {message}") from None
    except (RecursionError, MemoryError, SyntaxError, ValueError) as error:
        raise TemplateError(f"template {quote(source)}: {type(error).__name__}") from None

    def value(names: Mapping[str, Any]) -> Any:
        try:
            result = run(names)
            if isinstance(result, StrictUndefined):
                str(result)  # raises, saying what is undefined
        except (*_FAILURES, RecursionError, MemoryError) as error:
            said = printable(str(error)) or type(error).__name__
            raise TemplateError(f"template {quote(source)}: {said}") from None
        return _plain(result, source)

    return value, frozenset(_names(tree))


def _plain(value: Any, source: str) -> Any:
    """Return *value* as JSON data: what the filters of Jinja2 return may be lazy."""
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
