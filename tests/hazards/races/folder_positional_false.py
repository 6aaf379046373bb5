# tasks: a=work, b=work
import os


def work(x):
    os.makedirs("o", 0o755, False)  # here
