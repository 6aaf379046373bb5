# tasks: a=move, b=audit
import threading

GUARD = threading.Lock()
LEFT, RIGHT = 10, 0


def move(number):
    global LEFT, RIGHT
    with GUARD:
        LEFT = LEFT - number  # here
        RIGHT = RIGHT + number


def audit():
    return LEFT + RIGHT  # here
