# tasks: a=work, b=work
from collections import deque
from contextlib import suppress

TODO = deque(range(99))
OPEN = {}


def work(name):
    while TODO:
        try:
            number = TODO.popleft()
        except IndexError:
            break
        OPEN[number] = name
    for number in range(9):
        if number in OPEN:
            with suppress(KeyError):
                del OPEN[number]
