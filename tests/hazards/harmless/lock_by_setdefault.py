# tasks: a=work, b=work
import threading

LOCKS = {}
CACHE = {}


def work(key):
    with LOCKS.setdefault(key, threading.Lock()):
        if key not in CACHE:
            CACHE[key] = len(key)
        return CACHE[key]
