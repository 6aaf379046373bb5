# tasks: a=work, b=work
# kwargs: a={"mode": "w"}, b={"mode": "w"}
from pathlib import Path


def work(mode="r"):
    with Path("/srv/x").open(mode) as stream:  # here
        stream.write("x")
