"""Records: named tuples and plain classes with fields, made without generating code.

``typing`` and ``dataclasses`` cost as much to import as Python itself takes to start, and each
class that they make up to another millisecond. What ``orch run`` needs before its first task is
launched uses these instead; for type checkers they are what they stand for.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, dataclass_transform
    from typing import NamedTuple as NamedTuple  # noqa: PLC0414 - for others
else:
    try:  # as ``collections`` does
        from _collections import _tuplegetter
    except ImportError:
        from operator import itemgetter

        def _tuplegetter(index, doc):
            return property(itemgetter(index), doc=doc)

    def dataclass_transform():
        """Say that the fields of a class are the arguments of its constructor."""
        return lambda kind: kind

    class _TupleType(type):
        """Makes the classes: fields in order, from the annotations."""

        def __new__(cls, name, bases, namespace):
            fields = tuple(namespace.get("__annotations__", ()))
            defaults = tuple(namespace.pop(field) for field in fields if field in namespace)
            namespace.update((field, _tuplegetter(at, None)) for at, field in enumerate(fields))
            namespace["__slots__"] = ()
            namespace["_fields"] = namespace["__match_args__"] = fields
            namespace["_count"], namespace["_defaults"] = len(fields), defaults
            return super().__new__(cls, name, bases, namespace)

    class NamedTuple(tuple, metaclass=_TupleType):
        """A tuple with named fields, as ``typing.NamedTuple`` makes them."""

        def __new__(cls, *values, **named):
            """Take the values of the fields; those with a default may be left out."""
            if named:
                values = _completed(cls, values, named)
            elif left := cls._count - len(values):
                if not 0 < left <= len(cls._defaults):
                    values = _completed(cls, values, named)
                else:
                    values += cls._defaults[-left:]
            return tuple.__new__(cls, values)

        _make = classmethod(tuple.__new__)

        def _replace(self, **named):
            values = [named.pop(field, value) for field, value in zip(self._fields, self)]
            return type(self)(*values, **named)

        def _asdict(self):
            return dict(zip(self._fields, self))

        def __getnewargs__(self):
            return tuple(self)

        def __repr__(self):
            return f"{type(self).__name__}({_pairs(self._asdict())})"

    def _completed(kind, values, named):
        """Return the values of all fields. Raises ``TypeError``."""
        fields = kind._fields
        left = fields[len(values) :]
        given = dict(zip(fields[len(fields) - len(kind._defaults) :], kind._defaults))
        given.update(named)
        if len(values) > len(fields) or not given.keys() <= set(fields):
            raise TypeError(f"{kind.__name__} takes {', '.join(fields)}")
        if missing := [field for field in left if field not in given]:
            raise TypeError(f"{kind.__name__} needs {', '.join(missing)}")
        if twice := named.keys() & set(fields[: len(values)]):
            raise TypeError(f"{kind.__name__} got {', '.join(twice)} twice")
        return (*values, *map(given.__getitem__, left))


@dataclass_transform()
class Struct:
    """A class whose fields are its annotations, in order; what has a value there may be left out.

    An instance holds what it was given and finds the rest in its class. A list or a mapping that
    stands there as a value is copied for each.
    """

    if not TYPE_CHECKING:
        _fields = ()
        _fresh = {}

        def __init_subclass__(cls):
            own = vars(cls)
            cls._fields = cls.__match_args__ = (*cls._fields, *own.get("__annotations__", ()))
            found = {name: own.get(name) for name in cls._fields}
            fresh = {name: value for name, value in found.items() if isinstance(value, list | dict)}
            cls._fresh = {**cls._fresh, **fresh}

        def __init__(self, *values, **named):
            fields = self.__dict__
            for name, value in self._fresh.items():
                fields[name] = value.copy()
            fields.update(zip(self._fields, values))
            fields.update(named)

        def __eq__(self, other):
            return type(self) is type(other) and fields_of(self) == fields_of(other)

        __hash__ = None

        def __repr__(self):
            return f"{type(self).__name__}({_pairs(fields_of(self))})"


def fields_of(record: Struct) -> dict[str, Any]:
    """Return the fields of *record* with their values."""
    fields: tuple[str, ...] = type(record).__match_args__  # type: ignore[attr-defined]
    return {name: getattr(record, name) for name in fields}


def replaced(record: Any, **changes: Any) -> Any:
    """Return a copy of *record* with other values of some fields."""
    return type(record)(**{**fields_of(record), **changes})


def _pairs(fields: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in fields.items())
