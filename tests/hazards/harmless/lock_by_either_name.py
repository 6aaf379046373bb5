# tasks: a=work, b=work
import threading

DOOR = threading.Lock()
GATE = DOOR
INSIDE = 0


def work(door):
    global INSIDE
    with GATE if door else DOOR:
        INSIDE += 1
