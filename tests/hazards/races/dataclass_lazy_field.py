# tasks: a=work, b=work
import sqlite3
from dataclasses import dataclass


@dataclass
class State:
    path: str = "base.db"
    base: object = None


STATE = State()


def work(n):
    if STATE.base is None:
        STATE.base = sqlite3.connect(STATE.path)  # here
    return n
