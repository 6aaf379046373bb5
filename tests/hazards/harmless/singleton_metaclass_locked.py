# tasks: a=work, b=work
import threading


class Singleton(type):
    _instances = {}
    _lock = threading.Lock()

    def __call__(cls, *args, **kwargs):
        with cls._lock:
            if cls not in cls._instances:
                cls._instances[cls] = super().__call__(*args, **kwargs)
            return cls._instances[cls]


class Settings(metaclass=Singleton):
    def __init__(self):
        self.rows = {}


def work(name):
    return Settings().rows.get(name)
