# tasks: a=count, b=count
HITS = {"home": 0, "about": 0}


def count(page):
    HITS[page] += 1  # here
