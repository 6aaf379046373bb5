# tasks: a=move, b=watch
import threading

GUARD = threading.Lock()
MOVED = 0


def move(number):
    global MOVED
    with GUARD:
        MOVED = MOVED + number


def watch():
    print(MOVED)
