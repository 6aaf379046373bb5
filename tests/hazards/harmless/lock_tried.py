# tasks: a=refresh, b=refresh
import threading

BUSY = threading.Lock()
AGE = 0


def refresh():
    global AGE
    if not BUSY.acquire(blocking=False):
        return False
    try:
        AGE = AGE + 1
    finally:
        BUSY.release()
    return True
