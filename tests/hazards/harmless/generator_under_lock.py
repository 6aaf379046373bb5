# tasks: a=work, b=work
import threading

LOCK = threading.Lock()


def _g():
    n = 0
    while True:
        n += 1
        yield n


G = _g()


def work(k):
    with LOCK:
        next(G)
        return G.send(None)
