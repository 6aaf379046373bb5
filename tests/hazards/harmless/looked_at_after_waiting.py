# tasks: a=work, b=work
import threading

TURN = threading.Condition()
STEPS = []


def work(step):
    with TURN:
        while len(STEPS) > 5:
            TURN.wait(timeout=1)
        if step not in STEPS:
            STEPS.append(step)
        TURN.notify()
