# tasks: a=work, b=work
import threading


class State(threading.local):
    depth = 0
    names = None


STATE = State()


def work():
    STATE.depth += 1
    if STATE.names is None:
        STATE.names = []
    STATE.names.append("x")
