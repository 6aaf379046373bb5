# tasks: a=seen, b=seen
SEEN = set()


def seen(key):
    SEEN.add(key)
    SEEN.discard("")
