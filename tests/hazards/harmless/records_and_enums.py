# tasks: a=work, b=work
from collections import namedtuple
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple


class Colour(Enum):
    RED: int = 1


class Point(NamedTuple):
    x: int = 0
    y: int = 0


@dataclass(frozen=True)
class Rules:
    names: tuple = ()
    limits: dict = field(default_factory=dict)

    class Meta:
        table = "rules"


RULES = Rules()
ORIGIN = Point()


def work(n):
    point = ORIGIN._replace(x=n)
    if n in RULES.names or RULES.limits.get(n):
        return Colour.RED, point
    return RULES.Meta.table, [name for name in RULES.names]
