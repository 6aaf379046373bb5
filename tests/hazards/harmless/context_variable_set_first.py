# tasks: a=work, b=work
from contextvars import ContextVar

LINES = ContextVar("lines", default=[])


def work(line):
    LINES.set([])
    lines = LINES.get()
    if line not in lines:
        lines.append(line)
