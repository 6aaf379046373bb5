# tasks: a=put, b=reset
import threading


class Pot:
    def __init__(self):
        self.lock = threading.Lock()
        self.filled = threading.Condition(self.lock)
        self.cups = 0

    def put(self):
        with self.filled:
            self.cups = self.cups + 1
            self.filled.notify_all()

    def reset(self):
        with self.lock:
            self.cups = self.cups - self.cups


POT = Pot()


def put():
    POT.put()


def reset():
    POT.reset()
