# tasks: a=fill, b=watch
SEEN = {}


def fill(word):
    SEEN[word] = len(word)  # here


def watch():
    return {word: number for word, number in SEEN.items() if number}  # here
