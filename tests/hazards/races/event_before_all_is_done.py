# tasks: a=prepare, b=use
import threading

READY = threading.Event()
TABLE = {}


def prepare():
    READY.set()
    TABLE["sum"] = sum(range(9))  # here


def use():
    READY.wait()
    return TABLE["sum"]  # here
