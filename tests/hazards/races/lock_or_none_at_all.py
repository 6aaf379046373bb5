# tasks: a=work, b=work
import contextlib
import threading

DOOR = threading.Lock()
INSIDE = 0


def work(alone):
    global INSIDE
    with contextlib.nullcontext() if alone else DOOR:
        INSIDE += 1  # here
