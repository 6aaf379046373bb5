# tasks: a=set_a, b=set_b
import os


def set_a():
    os.environ["APP_A"] = "1"


def set_b():
    os.environ["APP_B"] = "2"
    return os.environ["HOME"]
