# tasks: a=lookup, b=lookup
CACHE = {}


def lookup(n):
    try:
        return CACHE[n]
    except KeyError:
        pass
    CACHE[n] = n * n  # here
    return CACHE[n]
