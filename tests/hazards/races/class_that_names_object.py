# tasks: a=work, b=work
class Meter(object):
    def __init__(self):
        self.total = 0

    def add(self, number):
        before = self.total
        self.total = before + number  # here


METER = Meter()


def work(number):
    METER.add(number)
