# tasks: a=main, b=other
import threading


class Buf:
    def __init__(self):
        self.rows = []
        self.lock = threading.Lock()

    def add(self, r):
        with self.lock:
            self.rows.append(r)  # here

    def flush(self):
        out = list(self.rows)
        self.rows = []  # here
        return out


BUF = Buf()


def main(r):
    BUF.add(r)


def other():
    return BUF.flush()
