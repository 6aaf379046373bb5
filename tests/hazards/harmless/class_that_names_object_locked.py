# tasks: a=work, b=work
import threading


class Meter(object):
    def __init__(self):
        self.guard = threading.Lock()
        self.totals = []

    @property
    def last(self):
        with self.guard:
            return self.totals[-1] if self.totals else 0

    def add(self, number):
        with self.guard:
            self.totals.append(self.last + number)


METER = Meter()


def work(number):
    METER.add(number)
