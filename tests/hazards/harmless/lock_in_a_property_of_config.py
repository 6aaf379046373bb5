# tasks: a=work, b=work
import threading


class Pool:
    def __init__(self, size):
        self.size = size
        self.lock = threading.Lock()
        self.free = list(range(size))
        self.used = 0

    def __enter__(self):
        self.lock.acquire()
        return self

    def __exit__(self, *error):
        self.lock.release()

    def take(self):
        self.used += 1
        return self.free.pop()


POOL = Pool(3)


def work():
    with POOL as pool:
        return pool.take()
