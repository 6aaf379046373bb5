# tasks: a=w, b=w
import threading


class C:
    def __init__(self):
        self._l = threading.RLock()
        self._d = {}

    def get(self, k):
        with self._l:
            v = self._d.get(k)
            if v is None:
                v = self._make(k)
            return v

    def _make(self, k):
        with self._l:
            self._d[k] = k
            return k

    @property
    def size(self):
        with self._l:
            return len(self._d)


c = C()


def w(k):
    c.get(k)
    return c.size
