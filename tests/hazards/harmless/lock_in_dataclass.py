# tasks: a=work, b=work
import threading
from dataclasses import dataclass, field


@dataclass
class State:
    n: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    names: list[str] = field(default_factory=list)


STATE = State()


def work(name):
    with STATE.lock:
        STATE.n += 1
        if name not in STATE.names:
            STATE.names.append(name)
