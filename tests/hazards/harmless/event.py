# tasks: a=open_gate, b=wait
import threading

GATE = threading.Event()


def open_gate():
    GATE.set()


def wait():
    return GATE.wait(1.0) and GATE.is_set()
