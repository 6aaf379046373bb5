# tasks: a=work, b=work
import threading

LOCK = threading.Lock()
N = 0


def work(fast):
    global N
    if fast:
        LOCK.acquire(blocking=True)
    else:
        LOCK.acquire()
    try:
        N += 1
    except ValueError:
        print("no")
    finally:
        LOCK.release()
