# tasks: a=go, b=read_rates
from contextlib import chdir


def go(folder):
    with chdir(folder):  # here
        return 1


def read_rates():
    with open("rates.csv") as stream:  # here
        return stream.read()
