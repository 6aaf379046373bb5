# tasks: a=work, b=work
import threading

CACHE = {}


def new_lock():
    return threading.Lock()


def work(key):
    with new_lock():
        if key not in CACHE:
            CACHE[key] = len(key)  # here
        return CACHE[key]
