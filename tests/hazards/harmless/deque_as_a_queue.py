# tasks: a=put, b=take
from collections import deque

PENDING = deque(maxlen=100)


def put(item):
    PENDING.append(item)


def take():
    try:
        return PENDING.popleft()
    except IndexError:
        return None
