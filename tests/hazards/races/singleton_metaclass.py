# tasks: a=work, b=work
class Singleton(type):
    _instances = {}

    def __call__(cls, *args, **kwargs):
        if cls not in cls._instances:
            cls._instances[cls] = super().__call__(*args, **kwargs)  # here
        return cls._instances[cls]


class Settings(metaclass=Singleton):
    def __init__(self):
        self.rows = {}


def work(name):
    return Settings().rows.get(name)
