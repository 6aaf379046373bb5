# tasks: a=issue, b=issue
import threading


class Ticket:
    _lock = threading.Lock()
    issued = 0

    @classmethod
    def new(cls):
        with cls._lock:
            cls.issued += 1
            return cls.issued


def issue():
    return Ticket.new()
