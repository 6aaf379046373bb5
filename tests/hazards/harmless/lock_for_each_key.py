# tasks: a=work, b=work
import threading

LOCKS = {"x": threading.Lock(), "y": threading.Lock()}
N = {"x": 0, "y": 0}


def work():
    with LOCKS["x"]:
        N["x"] += 1
