# tasks: a=save, b=save
# args: a=["out.csv"], b=["out.csv"]
import os
import tempfile


def save(path):
    if not path.startswith("/"):
        path = os.path.join(tempfile.mkdtemp(), path)
    with open(path, "w") as stream:
        stream.write("1")
