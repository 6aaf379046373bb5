# tasks: a=work, b=work
SEEN = set()
ORDER = []


def work(n):
    match n:
        case str() if n not in SEEN:
            SEEN.add(n)  # here
            return True
        case _:
            return False
