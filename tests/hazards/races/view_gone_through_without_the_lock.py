# tasks: a=work, b=work
import threading

GUARD = threading.Lock()
SEEN = {}


def work(word):
    with GUARD:
        SEEN[word] = len(word)  # here
        pairs = SEEN.items()
    return [word * number for word, number in pairs]  # here
