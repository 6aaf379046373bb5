# tasks: a=count, b=count
from functools import lru_cache


@lru_cache
def totals():
    return {}


def count(n):
    t = totals()
    t["n"] = t.get("n", 0) + 1  # here
