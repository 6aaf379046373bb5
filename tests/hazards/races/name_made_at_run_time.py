# tasks: a=run, b=run
import sys

N = 0


def _step_up():
    global N
    N += 1  # here


def run(kind):
    getattr(sys.modules[__name__], f"_step_{kind}")()
