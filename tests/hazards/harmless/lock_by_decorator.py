# tasks: a=bump, b=drop
import functools
import threading

_lock = threading.RLock()
VALUE = 0


def synchronized(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        with _lock:
            return function(*args, **kwargs)

    return wrapper


@synchronized
def bump():
    global VALUE
    VALUE += 1


@synchronized
def drop():
    global VALUE
    VALUE -= 1
