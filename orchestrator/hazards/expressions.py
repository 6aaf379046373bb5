"""Reading expressions: what they stand for, and what they touch on the way."""

from __future__ import annotations

import ast
import builtins
import os
from dataclasses import replace

from orchestrator.hazards import tables
from orchestrator.hazards.frames import either
from orchestrator.hazards.items import Items
from orchestrator.hazards.sources import imported, named
from orchestrator.hazards.values import (
    HOLE,
    Class,
    Function,
    Object,
    Outside,
    Own,
    Text,
    deeper,
    kept_by,
    keyed,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from orchestrator.hazards.frames import Taint
    from orchestrator.hazards.values import Value

_BUILTIN = frozenset(dir(builtins))
_COMPREHENSIONS = ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp
_LITERALS = {ast.List: "list", ast.Set: "set", ast.Dict: "dict", ast.ListComp: "list",
             ast.SetComp: "set", ast.DictComp: "dict", ast.GeneratorExp: "generator",
             ast.Tuple: "tuple"}  # fmt: skip


class Expressions(Items):
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
                self._comprehension(node)
                return Object(_LITERALS[type(node)])
            case ast.List() | ast.Set() | ast.Dict() | ast.Tuple():
                found = [self.value(child) for child in ast.iter_child_nodes(node)]
                return Object(_LITERALS[type(node)], fields=_parts(node, found))
            case ast.Yield() | ast.YieldFrom():
                self.give(self.value(node.value), node)
                self.done.yields_under |= frozenset(self.held)
                return None
            case ast.Await() | ast.Starred():
                return self.value(node.value)
        for child in ast.iter_child_nodes(node):
            self.value(child)
        return None

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

    def attribute_of(self, base: Value | None, name: str, node: ast.AST) -> Value | None:
        """Return what ``base.name`` stands for."""
        match base:
            case Outside(dotted):
                full = f"{dotted}.{name}"
                if full in tables.OBJECTS:
                    return Object(*tables.OBJECTS[full])
                return Outside(full)
            case Own(module):
                found = self.reader.member(module, name) or self.reader.submodule(module, name)
                return self.touched(found, node)
            case Class():
                return self.touched(self.reader.class_member(base, name, base), node)
            case Function() if base.resource is not None and not name.startswith("__"):
                return self.touched(Object(None, deeper(base.resource, f".{name}")), node)
            case Object():
                return self._member(base, name, node)
        return None

    def _member(self, base: Object, name: str, node: ast.AST) -> Value | None:
        if self.is_safe(base):
            return None
        if isinstance(base.made_by, Class):
            return self._own_member(base, base.made_by, name, node)
        if base.resource is None or base.made_by is not None:
            return None
        if base.element:
            self.look(node, base.resource, "read", one=True, keyed=True)
            return base
        return self.touched(Object(None, deeper(base.resource, f".{name}")), node)

    def _own_member(self, base: Object, kind: Class, name: str, node: ast.AST) -> Value | None:
        if name == "__class__":
            return kind
        method = self.reader.method(kind, name)
        if method is not None:
            bound = self.reader.bound(method, base)
            if self.reader.is_property(method):
                return self.invoke(method, [], {}, node, base)
            return bound
        for field, given in base.fields:
            if field == name:
                return self.touched(given, node)
        known, value = self.reader.instance_value(kind, name)
        if not known:
            return self.touched(self.reader.class_member(kind, name, base), node)
        if base.resource is None:
            return value
        slot = deeper(base.resource, f".{name}")
        if isinstance(value, Text):
            self.read(node, slot)
        return self.touched(kept_by(value, slot), node)

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
        return whole if whole and (whole.whole or whole.parameter) else None

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
                        self.escape(value, part)
                case _:
                    self.value(part)
        taint, self.seen = self.seen, {**before, **self.seen}
        return taint

    def _comprehension(self, node: _COMPREHENSIONS) -> None:
        values, taints = dict(self.values), dict(self.taints)
        local, declared = set(self.local), set(self.globals)
        for part in node.generators:
            element = self.iterate(part.iter)
            self._bind_all(part.target, element, self.seen)
            for condition in part.ifs:
                self.test(condition)
        if isinstance(node, ast.DictComp):
            self.value(node.key)
            self.value(node.value)
        else:
            self.value(node.elt)
        self.values, self.taints, self.local, self.globals = values, taints, local, declared

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


def _parts(node: ast.AST, found: list[Value | None]) -> tuple[tuple[str, Value], ...]:
    """Return what is known of the parts of a list, tuple, set or mapping."""
    if isinstance(node, ast.Tuple):
        kept = Function | Text
        return tuple((str(at), one) for at, one in enumerate(found) if isinstance(one, kept))
    return tuple(("", one) for one in found if isinstance(one, Function))


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
