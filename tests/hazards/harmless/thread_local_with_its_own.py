# tasks: a=work, b=work
import threading


class Context(threading.local):
    names = {}

    def __init__(self):
        self.names = {}


CONTEXT = Context()


def work(name):
    if name not in CONTEXT.names:
        CONTEXT.names[name] = len(name)
