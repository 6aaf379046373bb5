# tasks: a=work, b=work
import threading
from contextlib import ExitStack

LOCK = threading.Lock()
N = 0


def work():
    global N
    with ExitStack() as stack:
        stack.enter_context(LOCK)
        N += 1
