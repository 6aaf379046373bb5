# tasks: a=work, b=work
import threading

LOCK = threading.Lock()
DONE, FAILED = 0, 0


def work(jobs):
    global DONE, FAILED
    try:
        with LOCK:
            DONE += 1
        for job in jobs:
            job()
    except* OSError as group:
        with LOCK:
            FAILED += len(group.exceptions)
