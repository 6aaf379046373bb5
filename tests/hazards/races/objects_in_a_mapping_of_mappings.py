# tasks: a=work, b=work
class Seat:
    def __init__(self):
        self.taken = 0

    def take(self):
        self.taken = self.taken + 1  # here


ROOMS = {"hall": {"front": Seat(), "back": Seat()}}


def work():
    ROOMS["hall"]["front"].take()
