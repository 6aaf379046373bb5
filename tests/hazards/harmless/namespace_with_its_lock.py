# tasks: a=work, b=work
import threading
from types import SimpleNamespace

LIMITS = SimpleNamespace(lock=threading.Lock(), depth=1, names=[])


def work(name):
    limits = LIMITS
    with limits.lock:
        limits.depth = limits.depth + 1
        if len(limits.names) < limits.depth:
            limits.names.append(name)
