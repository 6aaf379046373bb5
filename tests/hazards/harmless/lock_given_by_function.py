# tasks: a=work, b=work
import threading

_guard = threading.Lock()
_locks = {}
_cache = {}


def lock_for(key):
    with _guard:
        if key not in _locks:
            _locks[key] = threading.Lock()
        return _locks[key]


def work(key):
    with lock_for(key):
        if key not in _cache:
            _cache[key] = len(key)
        return _cache[key]
