# tasks: a=work, b=work
import threading


class Context(threading.local):
    names = {}


CONTEXT = Context()


def work(name):
    if name not in CONTEXT.names:
        CONTEXT.names[name] = len(name)  # here
