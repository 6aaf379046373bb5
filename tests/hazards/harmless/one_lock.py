# tasks: a=add, b=remove
import threading

LOCK = threading.Lock()
STOCK = {"screws": 10}


def add(n):
    with LOCK:
        STOCK["screws"] += n


def remove(n):
    with LOCK:
        STOCK["screws"] -= n
