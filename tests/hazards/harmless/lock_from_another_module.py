# tasks: a=add, b=add
from _lock_from_another_module_state import LOCK, STATE


def add(n):
    with LOCK:
        STATE["n"] += n
