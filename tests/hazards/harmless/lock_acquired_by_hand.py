# tasks: a=add, b=add
import threading

lock = threading.RLock()
total = 0


def add(n):
    global total
    lock.acquire()
    try:
        total += n
    finally:
        lock.release()
