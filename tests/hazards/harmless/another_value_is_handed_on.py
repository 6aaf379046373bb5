# tasks: a=work, b=work
import threading

GUARD = threading.Lock()
STATE = {"goal": 3, "level": 0}


def level():
    with GUARD:
        return STATE["level"]


def aim(goal):
    with GUARD:
        STATE["goals"] = goal if goal is None else None


def work():
    print(level())
    aim(None)
