# tasks: a=run, b=run
COUNT = 0


def _up():
    global COUNT
    COUNT += 1  # here


ACTIONS = {"up": _up}


def run(name):
    ACTIONS[name]()
