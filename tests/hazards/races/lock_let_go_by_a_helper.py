# tasks: a=work, b=work
import threading

GUARD = threading.Lock()
LEVEL = 0


def begin():
    GUARD.acquire()


def end():
    GUARD.release()


def work():
    global LEVEL
    begin()
    level = LEVEL
    end()
    LEVEL = level + 1  # here
