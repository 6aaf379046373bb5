# tasks: a=work, b=work
def make():
    def inner(x, seen=[]):
        if x not in seen:
            seen.append(x)  # here

    return inner


KEEP = make()


def work(x):
    KEEP(x)
