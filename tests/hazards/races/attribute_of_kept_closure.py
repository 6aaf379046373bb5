# tasks: a=work, b=work
def make():
    def inner(x):
        inner.n += 1  # here

    inner.n = 0
    return inner


KEEP = make()


def work(x):
    KEEP(x)
