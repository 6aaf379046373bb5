# tasks: a=work, b=work
import os
import tempfile


def work():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "x.txt")
        with open(path, "w") as stream:
            stream.write("x")
        return os.path.getsize(path)
