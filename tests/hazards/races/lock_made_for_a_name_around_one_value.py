# tasks: note=note, also=note
import threading

GUARDS = {}
LAST = {"seen": 0}


def note(name):
    with GUARDS.setdefault(name.lower(), threading.Lock()):
        LAST["seen"] = LAST["seen"] + len(name)  # here
