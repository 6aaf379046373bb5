# tasks: a=work, b=work
import threading

DOOR = threading.Lock()
INSIDE = 0


def work():
    global INSIDE
    if not DOOR.acquire(timeout=0.5):
        raise TimeoutError
    try:
        INSIDE += 1
    finally:
        DOOR.release()
