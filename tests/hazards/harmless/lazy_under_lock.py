# tasks: a=work, b=work
import threading

_lock = threading.Lock()
_words = None


def words():
    global _words
    with _lock:
        if _words is None:
            _words = {"a": 1}
        return _words


def work(key):
    return words().get(key)
