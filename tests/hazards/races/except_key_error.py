# tasks: a=handle, b=handle
HANDLES = {}


def handle(name):
    try:
        return HANDLES[name]
    except KeyError:
        HANDLES[name] = object()  # here
        return None
