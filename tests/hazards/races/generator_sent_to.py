# tasks: a=add, b=add
def _averages():
    total, count, value = 0, 0, 0
    while True:
        value = yield total / count if count else 0
        total += value
        count += 1


AVERAGES = _averages()
next(AVERAGES)


def add(value):
    return AVERAGES.send(value)  # here
