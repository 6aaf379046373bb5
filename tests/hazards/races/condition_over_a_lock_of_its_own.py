# tasks: a=put, b=reset
import threading

LOCK = threading.Lock()
FILLED = threading.Condition()
CUPS = 0


def put():
    global CUPS
    with FILLED:
        CUPS = CUPS + 1  # here
        FILLED.notify_all()


def reset():
    global CUPS
    with LOCK:
        CUPS = CUPS - 1  # here
