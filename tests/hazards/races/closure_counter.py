# tasks: a=tick, b=tick
def make_counter():
    n = 0

    def step():
        nonlocal n
        n += 1  # here
        return n

    return step


counter = make_counter()


def tick():
    return counter()
