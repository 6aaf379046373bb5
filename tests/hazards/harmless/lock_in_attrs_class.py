# tasks: a=work, b=work
import threading
import attr


@attr.s(auto_attribs=True)
class State:
    n: int = 0
    lock: threading.Lock = attr.ib(factory=threading.Lock)
    cond: threading.Condition = attr.Factory(threading.Condition)


S = State()


def work(k):
    with S.lock:
        S.n += 1
