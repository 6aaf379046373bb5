"""Reading calls: those that are followed, and what the others are known to touch."""

from __future__ import annotations

import ast
from dataclasses import replace

from orchestrator.hazards import tables
from orchestrator.hazards.expressions import joined_path
from orchestrator.hazards.frames import GIVEN, Call, Given
from orchestrator.hazards.items import held, key_of, several, slot_of
from orchestrator.hazards.library import Library
from orchestrator.hazards.values import (
    Class,
    Function,
    Object,
    Outside,
    Text,
    deeper,
    kept_by,
    keyed,
    placed,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from orchestrator.hazards.frames import Taint
    from orchestrator.hazards.values import Resource, Value

_BY_KEY = frozenset({"get", "pop", "setdefault"})
_BY_MEMBER = frozenset({"add", "discard", "remove"})
_VIEWS = frozenset({"keys", "values", "items"})
_TAKES_OUT = frozenset({"pop", "popleft", "popitem"})


class Calls(Library):
    """Reads calls."""

    def call(self, node: ast.Call) -> Value | None:
        """Return what a call gives, and record what it touches."""
        func = node.func
        if isinstance(func, ast.Attribute):
            if _is_super(func.value):
                return self._super(func.attr, node)
            base = self.receiver(func.value)
            given = self._given(node)
            if isinstance(base, Text):
                return self._of_path(base, func.attr, given)
            if isinstance(base, Object):
                return self._of_object(base, func.attr, given)
            return self._of(self.attribute_of(base, func.attr, func), given, func.attr)
        target = self.value(func)
        return self._of(target, self._given(node), "")

    def _given(self, node: ast.Call) -> Given:
        before, self.seen = self.seen, {}
        given = Given(node)
        given.positional = [self.value(argument) for argument in node.args]
        for keyword in node.keywords:
            value = self.value(keyword.value)
            if keyword.arg:
                given.keywords[keyword.arg] = value
        if any(isinstance(argument, ast.Starred) for argument in node.args):
            starred = [isinstance(argument, ast.Starred) for argument in node.args].index(True)
            given.positional = given.positional[:starred]
        given.taint, self.seen = self.seen, {**before, **self.seen}
        given.key = key_of(node.args[0], given.at(0)) if node.args else None
        return given

    def _of(self, target: Value | None, given: Given, name: str) -> Value | None:
        match target:
            case Function():
                return self._invoke(target, given, target.receiver)
            case Class():
                return self.construct(target, given)
            case Outside(dotted):
                return self.outside(dotted, given)
            case Object(made_by=Class() as kind):
                method = self.reader.method(kind, "__call__")
                if method is not None:
                    return self._invoke(method, given, target)
            case Object(made_by=None) if parts := several(target):
                for part in parts:
                    self._of(part, given, name)
                return None
        self.unknown(given, name)
        return None

    def _invoke(
        self, function: Function, given: Given, receiver: Value | None = None
    ) -> Value | None:
        keywords = given.keywords
        return self.invoke(function, given.positional, keywords, given.node, receiver, given.taint)

    def invoke(
        self,
        function: Function,
        positional: list[Value | None],
        keywords: dict[str, Value | None],
        node: ast.AST,
        receiver: Value | None = None,
        taint: Taint | None = None,
    ) -> Value | None:
        """Note a call of a function of the job's own; return what it gives.

        *taint* is what its arguments were made from.
        """
        if receiver is not None and function.receiver is None:
            function = replace(function, receiver=receiver)
        target = self.reader.decorated(function)
        bindings = self.reader.bindings(target, positional, keywords)
        guards = frozenset(look for guard in self.guards for look in self.looks(guard))
        given = self.looks(taint or {})
        self.done.calls.append(Call(target, bindings, frozenset(self.held), guards, given))
        summary = self.reader.summary(target, bindings)
        for lock in summary.frees:
            self.held.pop(lock, None)
        for lock in summary.leaves:
            self.hold(lock)
        for event in summary.sets:
            self.happened(event)
        for spot in summary.decides - {GIVEN}:
            self.note(spot, node)
        shared = self._cached(target, node)
        return summary.returned if shared is None else kept_by(summary.returned, shared)

    def _cached(self, function: Function, node: ast.AST) -> Resource | None:
        """Return what holds the one thing that all calls such as *node* are given, if so."""
        mark = self.reader.cached(function)
        if not mark:
            return None
        receiver = function.receiver
        if isinstance(receiver, Object) and receiver.resource is None:
            return None
        if mark == "functools.cached_property" and isinstance(receiver, Object):
            assert receiver.resource is not None
            return deeper(receiver.resource, f".{function.path.rpartition('.')[2]}")
        if function.resource is None:
            return None
        given = ast.unparse(node).partition("(")[2] if isinstance(node, ast.Call) else ""
        arguments = [*node.args, *node.keywords] if isinstance(node, ast.Call) else []
        plain = all(isinstance(part, ast.Constant) for part in arguments)
        return ("cached", function.module, function.path + (f"({given}" if plain else "()"))

    def construct(self, kind: Class, given: Given) -> Value | None:
        """Note what a call of *kind* does, and return what it gives."""
        method = self.reader.meta_call(kind)
        if method is None:
            return self._instance(kind, given)
        found = self._invoke(method, given, kind)
        if isinstance(found, Object) and found.resource is not None:
            return replace(found, made_by=kind)
        return found

    def _instance(self, kind: Class, given: Given) -> Value | None:
        """Note that an object of *kind* is made, and return it."""
        fields = self.reader.fields(kind, given.positional, given.keywords)
        made: Value | None = Object(kind, fields=fields)
        method = self.reader.method(kind, "__new__")
        if method is not None:
            arguments = [kind, *given.positional]
            found = self.invoke(method, arguments, given.keywords, given.node)
            made = found if isinstance(found, Object) and found.resource is not None else made
            made = replace(made, made_by=kind) if isinstance(made, Object) else made
        for name in ("__init__", "__post_init__"):
            method = self.reader.method(kind, name)
            if method is not None:
                arguments = given.positional if name == "__init__" else []
                keywords = given.keywords if name == "__init__" else {}
                self.invoke(method, arguments, keywords, given.node, made, given.taint)
        return made

    def _super(self, name: str, node: ast.Call) -> Value | None:
        given = self._given(node)
        function = self.function
        kind = self.reader.class_around(function) if function else None
        first = self.first_parameter()
        if kind is None or first is None:
            return None
        method = self.reader.method(kind, name, beyond=True)
        if method is None and isinstance(first, Class) and name == "__call__":
            return self._instance(first, given)
        if method is None:
            return self._of_object(first, name, given) if isinstance(first, Object) else None
        return self._invoke(method, given, first)

    def first_parameter(self) -> Value | None:
        """Return what the first parameter is bound to."""
        if self.function is None or not self.function.node.args.args:
            return None
        return self.values.get(self.function.node.args.args[0].arg)

    # objects

    def _of_object(self, base: Object, name: str, given: Given) -> Value | None:
        node = given.node
        if parts := [part for part in several(base) if isinstance(part, Object)]:
            found = [self._of_object(part, name, given) for part in parts]
            return next((value for value in found if value is not None), None)
        if isinstance(base.made_by, Class):
            method = self.reader.method(base.made_by, name)
            if method is None and name == "start" and self._is_thread(base.made_by):
                method = self.reader.method(base.made_by, "run")
            if method is not None:
                bound = self.reader.bound(method, base)
                return self._invoke(bound, given, bound.receiver)
            if self.reader.instance_value(base.made_by, name)[0]:
                return self._of(self.attribute_of(base, name, node), given, name)
        self._of_outside_object(base, name, given)
        if base.resource is None or self.is_safe(base):
            self.unknown(given, name, base)
            self.by_hand(base, name, given)
            return self._of_one_call(base, name)
        return self._of_shared(base, base.resource, name, given)

    def _of_outside_object(self, base: Object, name: str, given: Given) -> None:
        """Record what methods are known to do, whoever has the object."""
        if isinstance(base.made_by, str):
            for resource, kind in tables.touched_through(base.made_by, name):
                self.touch(resource, kind, given.node, name)
        if name == "enter_context":
            self.enter(given.at(0))
        elif name in tables.SAVERS:
            self.file(given.at(0), "w", given.node)

    def _of_one_call(self, base: Object, name: str) -> Value | None:
        """Return what a method of an object gives that is safe, or that only this call has."""
        if base.made_by == "contextvars.ContextVar" and base.resource is not None:
            default, at = dict(base.fields).get("default"), deeper(base.resource, ".default")
            own = base.resource[-1] in self.module.contexts
            return placed(default, at) if name == "get" and default and not own else None
        if name in ("fileno", "__enter__"):
            return base
        if base.made_by == "multiprocessing.get_context":
            return Object(f"multiprocessing.{name}")
        return Object(_made_by(base, name))

    def _of_shared(self, base: Object, resource: Resource, name: str, given: Given) -> Value | None:
        self._method(base, resource, name, given)
        if name in tables.ELEMENTS:
            if name in _TAKES_OUT and (found := base.parts()):
                return found[0]  # nobody else has it any more
            return held(base, given.key)
        if name in _VIEWS and base.made_by in tables.SHARED_CONTAINERS:
            fields = () if name == "keys" else base.fields
            return Object("view", base.resource, fields=fields)
        if name in _VIEWS - {"keys"}:
            return Object(None, base.resource, element=True, fields=base.fields)
        return Object(made_by) if (made_by := _made_by(base, name)) == "cursor" else None

    def _is_thread(self, kind: Class) -> bool:
        return any(
            isinstance(base, Outside) and base.dotted in ("threading.Thread", "threading.Timer")
            for base in self.reader.lineage(kind)
        )

    def _method(  # noqa: C901 - a case for each sort of method
        self, base: Object, resource: Resource, name: str, given: Given
    ) -> None:
        """Record what the method *name* of a shared container, or of something unknown, does."""
        node, made_by = given.node, base.made_by
        if isinstance(made_by, str) and made_by not in tables.SHARED_CONTAINERS:
            if node in self.pieces and made_by == "builtins.open":
                self.record(node, resource, "update", "pieces", inside=True)
            if name in tables.METHODS.get(made_by, "").split():
                how = "stepped" if made_by in tables.ITERATORS else "stateful"
                self.record(node, resource, "update", how, inside=True)
            self.unknown(given, name, base)
            return
        slot = slot_of(base, given.key) if name in _BY_KEY else None
        one = resource[0] != "process"
        # one of many that a key leads to, or what such a one holds
        by_key = base.element or name in _BY_KEY or (made_by == "set" and name in _BY_MEMBER)
        if made_by == "Counter" and name in ("update", "subtract"):
            self.record(node, resource, "update", "augmented", inside=True, keyed=by_key)
        elif slot is not None and name == "get":
            self.record(node, resource, "read", "read", atomic=True, inside=True, keyed=True)
            self.read(node, slot)
        elif slot is not None and one:
            self.record(node, resource, "write", name, atomic=True, inside=True, keyed=True)
            whole = name == "setdefault" or keyed(slot)
            self.write(node, (slot, False), name, given.taint, one=whole)
        elif name in tables.ONE_STEP:
            self.write(node, (resource, True), name, given.taint, one=one, keyed=by_key)
        elif name in tables.STEPS:
            self.write(node, (resource, True), name, given.taint, one=False, keyed=by_key)
        elif name in tables.LOOKS:
            self.look(node, resource, "read", one=True, keyed=by_key)
        elif name in tables.GOES_THROUGH:
            known = made_by is not None and name in (*_VIEWS, "copy")
            self.look(node, resource, "read" if known else "iterated", one=known, keyed=by_key)
        if name not in tables.ONE_STEP:
            self.unknown(given, name)

    # files

    def _of_path(self, base: Text, name: str, given: Given) -> Value | None:
        node = given.node
        if name == "get" and node.args and isinstance(node.args[0], ast.Constant):
            return base.at(node.args[0].value)
        mode: str | None = tables.PATH_METHODS.get(name)
        if name == "open":
            self.open(base, "r", given.at(0, "mode"), node)
            return Object("builtins.open")
        if name == "mkdir":
            mode = None if given.may_be_true(2, "exist_ok") else "w"
        if name == "joinpath":
            return joined_path([base, *given.positional])
        if name in ("rename", "replace") and len(given.positional) != 1:
            mode = None  # a text's own replace
        if mode is not None:
            self.file(base, mode, node, how="folder" if "dir" in name else "opened")
            if name in ("rename", "replace"):
                self.file(given.at(0), "w", node)
            return None
        if name in ("resolve", "absolute", "expanduser", "as_posix", "__str__"):
            return base
        self.unknown(given, name)
        return None


def _is_super(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "super"
    )


def _made_by(base: Object, method: str) -> str | Class | None:
    """Return what a method of *base* gives, where that is known."""
    if method == "cursor" and isinstance(base.made_by, str):
        return "cursor"
    return base.made_by if method in ("copy", "keys", "values") else None
