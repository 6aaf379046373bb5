# tasks: a=main, b=main
import functools

h = {"n": 0}


def _do(s, by):
    s["n"] += by  # here


do = functools.partial(_do, h)


def main():
    do(2)
