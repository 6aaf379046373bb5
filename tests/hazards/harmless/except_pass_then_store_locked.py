# tasks: a=lookup, b=lookup
import threading

LOCK = threading.Lock()
CACHE = {}


def lookup(n):
    with LOCK:
        try:
            return CACHE[n]
        except KeyError:
            pass
        CACHE[n] = n * n
        return CACHE[n]
