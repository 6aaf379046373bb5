# tasks: a=put, b=take
import threading

READY = threading.Condition()
ITEMS = []


def put(item):
    with READY:
        ITEMS.append(item)
        READY.notify()


def take():
    with READY:
        while not ITEMS:
            READY.wait()
        return ITEMS.pop(0)
