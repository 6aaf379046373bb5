# tasks: a=work, b=work
import threading

LOCKS = {}
SEEN = set()


def work(url):
    url = url.lower()
    with LOCKS.setdefault(url, threading.Lock()):
        if url not in SEEN:
            SEEN.add(url)
            print(url)
