# tasks: a=write_a, b=write_b
from pathlib import Path


def write_a():
    Path("report.txt").write_text("a")  # here


def write_b():
    with open("./report.txt", "a") as stream:  # here
        stream.write("b")
