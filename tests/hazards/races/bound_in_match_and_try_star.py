# tasks: a=work, b=work
import sys

match sys.platform:
    case "linux":
        SEEN = []
    case _:
        SEEN = ["nothing"]


def work(name):
    if name not in SEEN:
        SEEN.append(name)  # here
