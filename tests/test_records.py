"""Records are what they stand for: named tuples, and classes with fields."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from orchestrator.records import NamedTuple, Struct


class Point(NamedTuple):
    """A record with a field that may be left out, and one more."""

    x: int
    y: int = 2
    label: str | None = None

    def far(self) -> int:
        """Return the sum."""
        return self.x + self.y


class Box(Struct):
    """A class with a list that is each instance's own."""

    name: str
    items: list[int] = []
    size: int = 3


def test_a_tuple_with_names() -> None:
    """It is one, takes the values in order and by name, and gives another with one replaced."""
    point = Point(1, label="a")
    assert point == (1, 2, "a") == Point(1, 2, "a") == Point(x=1, label="a")
    assert (point.x, point.y, point.label, point.far()) == (1, 2, "a", 3)
    assert point._replace(x=5, label=None) == Point(5)
    assert point._asdict() == {"x": 1, "y": 2, "label": "a"}
    assert repr(point) == "Point(x=1, y=2, label='a')"
    assert Point._fields == ("x", "y", "label")
    assert not hasattr(point, "__dict__")
    assert hash(point) == hash((1, 2, "a"))


def test_a_tuple_can_be_matched_and_copied() -> None:
    """By the statements and modules that know of tuples."""
    match Point(1, 5):
        case Point(1, y, label=None):
            assert y == 5
        case _:
            pytest.fail("it did not match")
    assert copy.copy(Point(1)) == copy.deepcopy(Point(1)) == Point(1)
    assert pickle.loads(pickle.dumps(Point(1, 7))) == Point(1, 7)


@pytest.mark.parametrize(
    ("values", "named", "said"),
    [
        ((), {}, "needs x"), ((1, 2, "a", 4), {}, "takes x, y, label"), ((1,), {"z": 1}, "takes"),
        ((1,), {"x": 1}, "x twice"), ((), {"y": 1}, "needs x"),
    ],
)  # fmt: skip
def test_a_tuple_refuses(values: tuple[Any, ...], named: dict[str, Any], said: str) -> None:
    """What does not fit, saying which field."""
    with pytest.raises(TypeError, match=said):
        Point(*values, **named)


def test_a_tuple_cannot_be_changed() -> None:
    """Neither a field nor anything beside it."""
    with pytest.raises(AttributeError):
        Point(1).x = 2  # type: ignore[misc]
    with pytest.raises(AttributeError):
        Point(1).other = 2  # type: ignore[attr-defined]


def test_a_class_with_fields() -> None:
    """Lists are copied, what is left out is found in the class, equal is who holds the same."""
    one, two = Box("a"), Box("a", size=3)
    one.items.append(1)
    assert (one.items, two.items, Box.items) == ([1], [], [])
    assert one != two
    two.items.append(1)
    assert one == two
    assert repr(two) == "Box(name='a', items=[1], size=3)"
    assert Box("b", [4], 5) == Box(name="b", items=[4], size=5)
    assert Box("a") != ("a", [], 3)
