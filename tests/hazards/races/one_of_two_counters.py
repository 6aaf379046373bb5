# tasks: a=work, b=work
class Counter:
    def __init__(self):
        self.count = 0


HITS, MISSES = Counter(), Counter()


def work(words):
    for word in words:
        counter = (HITS, MISSES)[0] if word else MISSES
        counter.count = counter.count + len(word)  # here
