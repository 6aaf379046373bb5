# tasks: a=left, b=right
RESULTS = {}


def left():
    RESULTS["left"] = 1
    RESULTS["left"] += 1


def right():
    RESULTS["right"] = 2
    RESULTS["right"] += 1
