# tasks: a=work, b=work
import re
from functools import cache, lru_cache


@cache
def pattern(text):
    return re.compile(text)


@lru_cache
def config():
    return {"a": 1, "b": [1, 2]}


@cache
def words():
    return "a b c".split()


@cache
def square(n):
    return n * n


def work(k):
    total = square(3)
    total += square(4)
    for key, value in config().items():
        print(key, value)
    for word in words():
        total += len(word)
    if "a" in config() and pattern("x").match(k):
        return config()["b"], sorted(words())
    return total
