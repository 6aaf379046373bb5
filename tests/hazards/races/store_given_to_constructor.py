# tasks: a=main, b=main
class Service:
    def __init__(self, store):
        self.store = store

    def run(self, k):
        self.store[k] = self.store.get(k, 0) + 1  # here


DB = {}


def main(k):
    Service(DB).run(k)
