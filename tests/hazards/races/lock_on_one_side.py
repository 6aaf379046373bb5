# tasks: a=careful, b=careless
from threading import RLock

guard = RLock()
score = 0


def careful(points):
    global score
    with guard:
        score += points  # here


def careless(points):
    global score
    score += points  # here
