# tasks: a=work, b=work
import threading

LOCK = threading.Lock()
CACHE = {}


def work(k):
    if (found := CACHE.get(k)) is None:
        with LOCK:
            if (found := CACHE.get(k)) is None:
                found = CACHE[k] = len(k)
    return found
