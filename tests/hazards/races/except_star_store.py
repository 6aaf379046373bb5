# tasks: a=work, b=work
FAILED = 0


def fetch(name):
    raise ExceptionGroup(name, [OSError(name)])


def work(name):
    global FAILED
    try:
        fetch(name)
    except* OSError:
        FAILED += 1  # here
