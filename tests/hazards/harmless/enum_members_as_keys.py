# tasks: a=work, b=other
import enum


class Door(enum.Enum):
    FRONT = 1
    BACK = 2

    def label(self):
        return f"{self.name} {self.value}"


OPENED = {}


def work():
    OPENED[Door.FRONT] = OPENED.get(Door.FRONT, 0) + 1
    return [door.label() for door in Door]


def other():
    OPENED[Door.BACK] = OPENED.get(Door.BACK, 0) + 1
