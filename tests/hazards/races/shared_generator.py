# tasks: a=take, b=take
def _numbers():
    n = 0
    while True:
        yield n
        n += 1


NUMBERS = _numbers()


def take():
    return next(NUMBERS)  # here
