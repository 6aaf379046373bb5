# tasks: a=square, b=square
import functools


def memo(function):
    cache = {}

    @functools.wraps(function)
    def wrapper(x):
        if x not in cache:
            cache[x] = function(x)  # here
        return cache[x]

    return wrapper


@memo
def square(x):
    return x * x
