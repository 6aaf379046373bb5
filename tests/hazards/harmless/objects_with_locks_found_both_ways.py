# tasks: a=work, b=work
import threading


class Gate:
    def __init__(self):
        self.guard = threading.Lock()
        self.passed = 0

    def go(self):
        with self.guard:
            self.passed = self.passed + 1
            return self.passed


GATES = {"north": Gate(), "south": Gate()}


def work(name):
    return [gate.go() for gate in GATES.values()], GATES["north"].go(), GATES[name].go()
