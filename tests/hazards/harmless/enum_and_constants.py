# tasks: a=paint, b=paint
from enum import Enum


class Colour(Enum):
    RED = 1
    BLUE = 2


DEFAULT = Colour.RED


def paint(name):
    return Colour[name] if name else DEFAULT
