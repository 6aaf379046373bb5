# tasks: a=mark, b=missing
from _from_import_object_state import SEEN


def mark(key):
    SEEN.add(key)  # here


def missing(keys):
    left = set(keys)
    for key in SEEN:  # here
        left.discard(key)
    return sorted(left)
