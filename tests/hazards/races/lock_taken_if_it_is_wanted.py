# tasks: a=work, b=work
import threading

GUARD = threading.RLock()
CAREFUL = False
LEVEL = 0


def take():
    if CAREFUL:
        GUARD.acquire()


def work():
    global LEVEL
    take()
    LEVEL = LEVEL + 1  # here
    if CAREFUL:
        GUARD.release()
