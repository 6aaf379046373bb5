# tasks: a=fetch, b=fetch
from dataclasses import dataclass


@dataclass
class Progress:
    done: int = 0
    todo: int = 10


progress = Progress()


def fetch(u):
    progress.done += 1  # here
    return progress.done / progress.todo
