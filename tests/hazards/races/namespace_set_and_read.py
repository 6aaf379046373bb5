# tasks: a=deep, b=flat
from types import SimpleNamespace

LIMITS = SimpleNamespace(depth=1, width=2)


def deep():
    LIMITS.depth = len("deep")  # here


def flat():
    return [LIMITS.depth] * 3  # here
