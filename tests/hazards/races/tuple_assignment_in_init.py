# tasks: a=work, b=work
class Store:
    def __init__(self, name):
        self.name, self.items = name, {}

    def add(self, key):
        if key not in self.items:
            self.items[key] = len(key)  # here


STORE = Store("main")


def work(key):
    STORE.add(key)
