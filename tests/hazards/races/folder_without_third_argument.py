# tasks: a=prepare, b=prepare
from pathlib import Path

OUT = Path("reports")


def prepare(name):
    OUT.mkdir(0o755, True)  # here
    return name
