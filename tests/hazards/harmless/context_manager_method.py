# tasks: a=w, b=w
import threading, contextlib


class L:
    def __init__(self):
        self.l = threading.Lock()
        self.n = 0

    @contextlib.contextmanager
    def take(self):
        self.l.acquire()
        try:
            yield self
        finally:
            self.l.release()


X = L()


def w():
    with X.take() as x:
        x.n += 1
