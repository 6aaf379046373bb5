# tasks: a=work, b=work
REST, TAIL, FIRST = {}, [], []


def work(message):
    match message:
        case {"n": n, **REST}:
            REST["n"] = n
            REST["n"] += 1
            return REST
        case [FIRST, *TAIL]:
            if FIRST not in TAIL:
                TAIL.append(FIRST)
            return TAIL
    return None
