# tasks: a=count, b=count
import threading
from functools import lru_cache

LOCK = threading.Lock()


@lru_cache(maxsize=None)
def totals():
    return {}


@lru_cache
def lock():
    return threading.Lock()


def count(n):
    with LOCK:
        t = totals()
        t["n"] = t.get("n", 0) + n
    with lock():
        totals()["m"] += n
