# tasks: a=work, b=work
import threading

DOOR = threading.Lock()
INSIDE = 0


def work():
    global INSIDE
    DOOR.acquire(timeout=0.5)
    try:
        INSIDE += 1  # here
    finally:
        if DOOR.locked():
            DOOR.release()
