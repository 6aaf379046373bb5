# tasks: a=w, b=w
import threading

_l = threading.Lock()


def locked(f):
    def inner(*a):
        _l.acquire()
        try:
            return f(*a)
        finally:
            _l.release()

    return inner


N = {}


@locked
def put(k):
    N[k] = N.get(k, 0) + 1


def w(k):
    put(k)
