# tasks: a=work, b=other
class Seat:
    def __init__(self):
        self.taken = 0

    def take(self):
        self.taken = self.taken + 1


ROOMS = {"hall": {"front": Seat()}, "yard": {"front": Seat()}}


def work():
    ROOMS["hall"]["front"].take()


def other():
    ROOMS["yard"]["front"].take()
