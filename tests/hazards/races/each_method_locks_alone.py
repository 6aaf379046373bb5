# tasks: a=work, b=work
import threading


class Gauge:
    def __init__(self):
        self._guard = threading.Lock()
        self._level = 0

    def level(self):
        with self._guard:
            return self._level

    def move_to(self, level):
        with self._guard:
            self._level = level  # here


GAUGE = Gauge()


def work():
    GAUGE.move_to(GAUGE.level() + 1)
