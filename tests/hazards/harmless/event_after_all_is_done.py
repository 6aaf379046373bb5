# tasks: a=prepare, b=use
import threading

READY = threading.Event()
TABLE = {}


def announce():
    READY.set()


def prepare():
    for number in range(9):
        TABLE["sum"] = number
    announce()


def use():
    if not READY.wait(timeout=60):
        raise TimeoutError
    return TABLE["sum"]
