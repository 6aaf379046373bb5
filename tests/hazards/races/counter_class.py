# tasks: a=scan, b=scan
from collections import Counter

WORDS = Counter()


def scan(text):
    WORDS.update(text.split())  # here
