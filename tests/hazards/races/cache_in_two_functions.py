# tasks: a=lookup, b=lookup
class Cache:
    def __init__(self):
        self._data = {}

    def has(self, key):
        return key in self._data

    def put(self, key, value):
        self._data[key] = value  # here

    def get(self, key):
        return self._data[key]


CACHE = Cache()


def lookup(key):
    if not CACHE.has(key):
        CACHE.put(key, key * 2)
    return CACHE.get(key)
