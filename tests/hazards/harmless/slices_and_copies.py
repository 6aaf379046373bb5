# tasks: a=fill, b=watch
import sys

ROWS = []
SEEN = {}


def fill(word):
    ROWS.append(word)
    SEEN[word] = len(SEEN)


def watch():
    rows = ROWS[:]
    rows.sort()
    arguments = sys.argv[1:]
    arguments.append("more")
    for word, number in list(SEEN.items()):
        print(word, number)
    return sorted(SEEN), tuple(ROWS), dict(SEEN), SEEN.copy(), len(ROWS)
