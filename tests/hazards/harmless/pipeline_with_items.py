# tasks: source=emit, sink=drain
# queue: source->sink
def emit():
    count = 0
    for n in range(10):
        count += 1
        yield {"n": n, "count": count}


def drain(items):
    total = 0
    for item in items:
        total += item["n"]
    return total
