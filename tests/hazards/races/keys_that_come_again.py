# tasks: a=work, b=work
import uuid

OPEN = {}


class Session:
    def __init__(self):
        self.hits = 0

    def hit(self):
        self.hits += 1  # here


OPEN["first"] = Session()


def work():
    name = uuid.uuid4().hex[:1]
    if name in OPEN:
        OPEN[name].hit()
