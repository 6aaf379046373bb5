# tasks: a=add, b=add
import threading

LOCK = threading.Lock()
SUM = 0


def add(n):
    global SUM
    with LOCK:
        before = SUM
    after = before + n
    with LOCK:
        SUM = after  # here
