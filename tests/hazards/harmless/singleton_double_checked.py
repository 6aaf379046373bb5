# tasks: a=w, b=w
import threading


class S:
    _inst = None
    _lock = threading.Lock()

    def __new__(cls):
        if cls._inst is None:
            with cls._lock:
                if cls._inst is None:
                    cls._inst = super().__new__(cls)
        return cls._inst

    def name(self):
        return "x"


def w():
    return S().name()
