# tasks: a=work, b=work
import threading

LOCKS = {}
ROWS = []


def work(url):
    url = url.lower()
    with LOCKS.setdefault(url, threading.Lock()):
        if len(ROWS) < 10:
            ROWS.append(url)  # here
