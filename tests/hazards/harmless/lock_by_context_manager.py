# tasks: a=bump, b=bump
import threading
from contextlib import contextmanager

_lock = threading.Lock()
VALUE = 0


@contextmanager
def exclusive():
    with _lock:
        yield


def bump():
    global VALUE
    with exclusive():
        VALUE += 1
