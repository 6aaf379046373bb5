# tasks: a=work, b=work
import enum


class Door(enum.Enum):
    FRONT = 1
    BACK = 2

    def __init__(self, number):
        self.opened = 0

    def open(self):
        self.opened = self.opened + self.value  # here


def work():
    for door in Door:
        door.open()
    Door.BACK.open()
