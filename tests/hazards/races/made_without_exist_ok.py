# tasks: a=proc, b=proc
import os


def proc(name):
    if not os.path.exists("cache"):
        os.mkdir("cache")  # here
    return name
