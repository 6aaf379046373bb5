# tasks: a=w, b=w
from pathlib import Path

OUT = Path("out")


def w(name):
    OUT.mkdir(exist_ok=True)
    (OUT / f"{name}.txt").write_text("x")
