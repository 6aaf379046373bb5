# tasks: a=work, b=work
LAST = None


def work(message):
    global LAST
    match message:
        case {"last": LAST}:  # here
            return 1
        case _:
            return 0
