# tasks: a=lookup, b=lookup
CACHE = {}


def lookup(n):
    try:
        found = CACHE[n]
    except KeyError:
        found = None
    if found is None:
        found = CACHE[n] = n * n  # here
    return found
