# tasks: a=load, b=load
class Settings:
    _instance = None

    def __new__(cls):
        if cls._instance is None:
            cls._instance = super().__new__(cls)  # here
        return cls._instance


def load():
    return repr(Settings())
