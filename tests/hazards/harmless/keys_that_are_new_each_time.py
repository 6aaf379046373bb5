# tasks: a=work, b=work
import itertools
import threading
import uuid

NUMBERS = itertools.count()
OPEN = {}


class Session:
    def __init__(self):
        self.hits = 0

    def hit(self):
        self.hits += 1


def work():
    for key in (uuid.uuid4().hex, 1):
        print(key)
    key = uuid.uuid4().hex
    OPEN[key] = Session()
    OPEN[key].hit()
    number = next(NUMBERS)
    if number not in OPEN:
        OPEN[number] = Session()
    OPEN[number].hits += 1
    mine = threading.get_ident()
    OPEN[mine] = OPEN.get(mine) or Session()
    OPEN[mine].hit()
    with open(f"out/{key}.txt", "w") as stream:
        stream.write(key)
