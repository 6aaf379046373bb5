# tasks: a=work, b=work
import threading

GUARD = threading.RLock()
LEVEL = 0


def take():
    if GUARD:
        GUARD.acquire()


def give():
    if GUARD:
        GUARD.release()


def work():
    global LEVEL
    take()
    try:
        LEVEL = LEVEL + 1
    finally:
        give()
