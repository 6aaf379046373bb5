# tasks: a=first, b=second
def tally(word, counts={}):
    counts[word] = counts.get(word, 0) + 1  # here
    return counts[word]


def first():
    return tally("x")


def second():
    return tally("x")
