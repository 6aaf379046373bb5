# tasks: a=work, b=work
def _g():
    yield 1


def work(k):
    g = _g()
    next(g)
    try:
        g.send(1)
    except StopIteration:
        pass
    match k:
        case [first, *rest] if first not in rest:
            rest.append(first)
        case {"a": {"b": b}} | {"c": b}:
            return b
        case str(x) | int(x):
            k = x
        case _:
            k = None
    g.close()
    return k
