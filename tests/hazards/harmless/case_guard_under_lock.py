# tasks: a=work, b=work
import threading

LOCK = threading.Lock()
SEEN = set()


def work(n):
    with LOCK:
        match n:
            case str() if n not in SEEN:
                SEEN.add(n)
