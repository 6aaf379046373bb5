# tasks: a=work, b=work
from collections import defaultdict

SHELVES = defaultdict(list)


def work(title):
    SHELVES[title[0]].append(title)
