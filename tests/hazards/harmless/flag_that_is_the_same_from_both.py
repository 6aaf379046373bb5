# tasks: a=warn, b=warn
WARNED = False


def warn():
    global WARNED
    WARNED = True
