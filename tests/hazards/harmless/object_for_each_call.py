# tasks: a=work, b=work
class Counter:
    def __init__(self):
        self.n = 0
        self.names = []

    def add(self, name):
        self.n += 1
        self.names.append(name)
        return self


def work(names):
    counter = Counter()
    for name in names:
        counter.add(name)
    return counter.n
