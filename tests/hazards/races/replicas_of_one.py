# tasks: worker=serve
# many: worker
SERVED = []
LAST = None


def serve(n):
    global LAST
    LAST = n if LAST is None else LAST + n  # here
