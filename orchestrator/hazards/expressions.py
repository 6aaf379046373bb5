"""Reading expressions: what they stand for, and what they touch on the way."""

from __future__ import annotations

import ast
import builtins
import os
from dataclasses import replace

from orchestrator.hazards import tables
from orchestrator.hazards.attributes import Attributes
from orchestrator.hazards.frames import either
from orchestrator.hazards.items import says
from orchestrator.hazards.sources import imported, named
from orchestrator.hazards.values import (
    HOLE,
    Class,
    Function,
    Object,
    Outside,
    Own,
    Text,
    keyed,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.hazards.frames import Taint
    from orchestrator.hazards.values import Value

_BUILTIN = frozenset(dir(builtins))
_COMPREHENSIONS = ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp
_MOST_HOLES = 3  # of a text: a recursion may add one each time
_MOST_PARTS = 100  # of a literal are known
_LITERALS = {ast.List: "list", ast.Set: "set", ast.Dict: "dict", ast.ListComp: "list",
             ast.SetComp: "set", ast.DictComp: "dict", ast.GeneratorExp: "generator",
             ast.Tuple: "tuple"}  # fmt: skip


class Expressions(Attributes):
    """Reads expressions."""

    def call(self, node: ast.Call) -> Value | None:
        """Return what a call gives."""
        raise NotImplementedError

    def store(
        self, target: ast.expr, source: ast.expr | None, made: Value | None, taint: Taint
    ) -> None:
        """Bind *target* to *made*, which *source* gave and which was made from *taint*."""
        raise NotImplementedError

    def value(  # noqa: C901, PLR0912 - a case for each kind of expression
        self, node: ast.AST | None
    ) -> Value | None:
        """Return what *node* stands for, and record what it touches."""
        match node:
            case None:
                return None
            case ast.Constant(value=constant):
                return Text(constant) if isinstance(constant, str) else None
            case ast.Name():
                return self._name(node)
            case ast.Attribute():
                return self.attribute_of(self.receiver(node.value), node.attr, node)
            case ast.Subscript():
                return self._subscript(node)
            case ast.Call():
                return self.call(node)
            case ast.JoinedStr() | ast.BinOp():
                return self._text(node)
            case ast.BoolOp() | ast.IfExp():
                return self._either(node)
            case ast.Compare():
                self._compare(node)
                return None
            case ast.NamedExpr():
                value, taint = self.made_from(node.value)
                self.store(node.target, node.value, value, taint)
                return value
            case ast.Lambda():
                path = f"{self.name}.<lambda>" if self.name else "<lambda>"
                inner = self.function is not None
                return Function(
                    self.module.name, path, node, closure=self.around(node), inner=inner
                )
            case ast.ListComp() | ast.SetComp() | ast.GeneratorExp() | ast.DictComp():
                element = self._comprehension(node)
                fields = (("", element),) if element is not None and says(element) else ()
                return Object(_LITERALS[type(node)], fields=fields)
            case ast.List() | ast.Set() | ast.Tuple() | ast.Dict():
                parts = tuple(self._parts(node))
                return Object(_LITERALS[type(node)], fields=parts[:_MOST_PARTS])
            case ast.Yield() | ast.YieldFrom():
                self.give(self.value(node.value), node)
                self.done.yields_under |= frozenset(self.held)
                return None
            case ast.Await() | ast.Starred():
                return self.value(node.value)
        for child in ast.iter_child_nodes(node):
            self.value(child)
        return None

    def _parts(
        self, node: ast.List | ast.Set | ast.Tuple | ast.Dict
    ) -> Iterator[tuple[str, Value]]:
        """Read the parts of *node*, and yield those that it matters to know."""
        if isinstance(node, ast.Dict):
            keys = [self.key(key) for key in node.keys]
            values = node.values
        else:
            keys = [str(at) for at in range(len(node.elts))]
            values = node.elts
        for key, part in zip(keys, values, strict=True):
            value = self.value(part)
            fixed = isinstance(node, ast.Dict | ast.Tuple) and key is not None
            if value is not None and (says(value) or (fixed and isinstance(value, Text))):
                yield f"[{key}]" if fixed else "", value

    def give(self, value: Value | None, node: ast.AST) -> None:
        """Note that *value* leaves the function."""
        if isinstance(value, Object) and value.resource is not None and not self.is_safe(value):
            one = value.element or keyed(value.resource)
            effect = self.effect(
                node, value.resource, "read", "iterated", inside=True, atomic=one, keyed=one
            )
            self.done.given.append(effect)

    def _name(self, node: ast.Name) -> Value | None:
        name = node.id
        if name not in self.globals:
            if name in self.local and name not in self.nonlocals:
                self.seen.update(self.taints.get(name, {}))
                return self.values.get(name)
            if name in self.closure:
                return self._around(node)
        found = self.reader.member(self.module.name, name)
        if found is None and name in _BUILTIN:
            return Outside(f"builtins.{name}")
        return self.touched(found, node)

    def _around(self, node: ast.Name) -> Value | None:
        """Return what a name of a function around this one stands for."""
        value, kept = self.closure[node.id], self.kept(node.id)
        function = self.function
        if value is None and function and function.path.rpartition(".")[2] == node.id:
            return replace(function, receiver=None)
        if kept is None or isinstance(value, Function | Class | Outside | Own):
            self.seen.update(self.taints.get(node.id, {}))
            return value
        if isinstance(value, Object) and value.resource is not None:
            return value
        made_by = value.made_by if isinstance(value, Object) else None
        return self.touched(Object(made_by, kept), node)

    def _text(self, node: ast.JoinedStr | ast.BinOp) -> Value | None:
        parts: list[ast.AST] = []
        if isinstance(node, ast.BinOp):
            parts = [node.left, node.right]
        else:
            parts = [p.value if isinstance(p, ast.FormattedValue) else p for p in node.values]
        values = []
        for part in parts:
            value = self.value(part)
            values.append(value)
            if isinstance(node, ast.JoinedStr) and not isinstance(value, Text):
                self.escape(value, part)
                values[-1] = Text(HOLE)
        if not all(isinstance(value, Text) for value in values):
            return None
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            return joined_path(values)
        if isinstance(node, ast.BinOp) and not isinstance(node.op, ast.Add):
            return None
        whole: Text | None = Text("")
        for value in values:
            whole = whole.plus(value) if whole and isinstance(value, Text) else None
        if whole is None or (whole.before + whole.after).count(HOLE) > _MOST_HOLES:
            return None
        return whole if whole.whole or whole.parameter else None

    def _either(self, node: ast.BoolOp | ast.IfExp) -> Value | None:
        if isinstance(node, ast.IfExp):
            self.test(node.test)
            return either(self.value(node.body), self.value(node.orelse))
        found = [self.value(choice) for choice in node.values]
        known = [value for value in found if value is not None]
        shared = [v for v in known if isinstance(v, Object) and v.resource is not None]
        return next(iter([*shared, *known]), None)

    def test(self, node: ast.expr) -> Taint:
        """Read a condition; return what it looks at."""
        before, self.seen = self.seen, {}
        stack = [node]
        while stack:
            part = stack.pop()
            match part:
                case ast.UnaryOp(op=ast.Not()):
                    stack.append(part.operand)
                case ast.BoolOp():
                    stack.extend(reversed(part.values))
                case ast.Name() | ast.Attribute():
                    value = self.value(part)
                    if isinstance(value, Object) and value.made_by in tables.SHARED_CONTAINERS:
                        self.escape(value, part, one=True)
                case _:
                    self.value(part)
        taint, self.seen = self.seen, {**before, **self.seen}
        return taint

    def _comprehension(self, node: _COMPREHENSIONS) -> Value | None:
        """Read *node*; return what each of its values is."""
        values, taints = dict(self.values), dict(self.taints)
        local, declared = set(self.local), set(self.globals)
        for part in node.generators:
            element = self.iterate(part.iter)
            self._bind_all(part.target, element, self.seen)
            for condition in part.ifs:
                self.test(condition)
        if isinstance(node, ast.DictComp):
            self.value(node.key)
            found = self.value(node.value)
        else:
            found = self.value(node.elt)
        self.values, self.taints, self.local, self.globals = values, taints, local, declared
        return found

    def _bind_all(self, target: ast.AST, element: Value | None, taint: Taint) -> None:
        """Bind all names in *target*, of a comprehension, to parts of *element*."""
        for part in ast.walk(target):
            if isinstance(part, ast.Name):
                self.globals.discard(part.id)
                self.local.add(part.id)
                self.bind(part.id, element, taint)

    def importing(self, node: ast.Import | ast.ImportFrom) -> None:
        """Bind what an import inside of the function binds."""
        for alias in node.names:
            name = alias.asname or alias.name.partition(".")[0]
            module, inner = imported(self.module, node, name)
            if not module:
                continue
            base = named(module, self.reader.sources)
            value: Value | None = base
            if inner:
                value = self.reader.from_module(base, inner)
            self.values[name] = value


def joined_path(values: list[Value | None]) -> Text | None:
    """Return the path that *values* make together."""
    whole: Text | None = None
    for value in values:
        if not isinstance(value, Text):
            return None
        if whole is None:
            whole = value
            continue
        whole = whole.below(value)
        if whole is None:
            return None
    if whole is not None and whole.parameter is None:
        return Text(os.path.normpath(whole.before)) if whole.before else whole
    return whole
