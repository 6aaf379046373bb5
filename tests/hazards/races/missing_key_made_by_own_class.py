# tasks: a=work, b=work
from collections import defaultdict


class Shelf:
    def __init__(self):
        self.books = []


SHELVES = defaultdict(Shelf)


def work(title):
    SHELVES[title[0]].books.append(title)  # here
