# tasks: a=work, b=work
import threading


class Gauge:
    def __init__(self):
        self.guard = threading.RLock()
        self._level = 0

    def level(self):
        with self.guard:
            return self._level

    def move_to(self, level):
        with self.guard:
            self._level = level


GAUGE = Gauge()


def work():
    with GAUGE.guard:
        GAUGE.move_to(GAUGE.level() + 1)
