# tasks: a=work, b=work
from collections import deque

TODO = deque(range(99))


def work():
    while TODO:
        try:
            number = TODO.popleft()  # here
        except OSError:
            break
        print(number)
