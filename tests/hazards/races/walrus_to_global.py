# tasks: a=take, b=take
COUNT = 0


def take(n):
    global COUNT
    if (COUNT := COUNT + 1) > 10:  # here
        raise RuntimeError("too many")
    return n
