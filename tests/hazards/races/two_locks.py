# tasks: a=add, b=remove
import threading

ADD_LOCK = threading.Lock()
REMOVE_LOCK = threading.Lock()
STOCK = {"screws": 10}


def add(n):
    with ADD_LOCK:
        STOCK["screws"] += n  # here


def remove(n):
    with REMOVE_LOCK:
        STOCK["screws"] -= n  # here
