# tasks: a=lookup, b=lookup
from functools import lru_cache


@lru_cache(maxsize=None)
def table(name):
    rows = {}
    rows[name] = len(name)
    rows[name] += 1
    return rows


def lookup(name):
    return table(name)[name]
