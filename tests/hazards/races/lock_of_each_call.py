# tasks: a=bump, b=bump
import threading

VALUE = 0


def bump():
    global VALUE
    lock = threading.Lock()
    with lock:
        VALUE += 1  # here
