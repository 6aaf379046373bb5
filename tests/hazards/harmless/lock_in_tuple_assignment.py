# tasks: a=work, b=work
import threading


class Counter:
    def __init__(self):
        self._lock, self.n = threading.Lock(), 0

    def add(self):
        with self._lock:
            self.n += 1


COUNTER = Counter()


def work(n):
    COUNTER.add()
    return n
