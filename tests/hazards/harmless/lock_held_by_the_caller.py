# tasks: a=first, b=second
import threading

GATE = threading.Lock()
LOG = {}


def _note(key):
    LOG[key] = LOG.get(key, 0) + 1


def first():
    with GATE:
        _note("a")


def second():
    with GATE:
        _note("a")
