# tasks: a=work, b=work
import threading

TURN = threading.Condition()
STEP = 0


def work():
    global STEP
    with TURN:
        step = STEP
        TURN.wait(timeout=1)
        STEP = step + 1  # here
