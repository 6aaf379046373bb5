# tasks: source=emit, sink=drain
# queue: source->sink
STATE = {"open": 0}


def emit():
    for n in range(10):
        STATE["open"] += 1  # here
        yield n


def drain(items):
    for _ in items:
        STATE["open"] -= 1  # here
