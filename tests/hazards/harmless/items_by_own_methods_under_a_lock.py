# tasks: a=work, b=work
import threading


class Votes:
    def __init__(self):
        self.by_name = {}

    def __getitem__(self, name):
        return self.by_name.get(name.strip(), 0)

    def __setitem__(self, name, count):
        self.by_name[name.strip()] = count

    def __delitem__(self, name):
        self.by_name.pop(name, None)


VOTES = Votes()
COUNTING = threading.Lock()


def work(name):
    with COUNTING:
        VOTES[name] += 1
        del VOTES[name]
