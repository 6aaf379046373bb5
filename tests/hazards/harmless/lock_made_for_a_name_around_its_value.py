# tasks: note=note, also=note
import threading

GUARDS = {}
SEEN = {}


def note(name):
    name = name.lower()
    with GUARDS.setdefault(name, threading.Lock()):
        SEEN[name] = SEEN.get(name, 0) + len(name)
