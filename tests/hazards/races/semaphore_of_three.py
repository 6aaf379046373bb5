# tasks: a=upload, b=upload
import threading

SLOTS = threading.Semaphore(3)
UPLOADED = 0


def upload(size):
    global UPLOADED
    with SLOTS:
        UPLOADED += size  # here
