# tasks: a=work, b=work
import functools


def counted(function):
    @functools.wraps(function)
    def wrapper(*args):
        wrapper.calls += 1  # here
        return function(*args)

    wrapper.calls = 0
    return wrapper


@counted
def work(n):
    return n
