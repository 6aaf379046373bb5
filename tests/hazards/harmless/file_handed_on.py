# tasks: a=write, b=read
# args: a=["x.txt"], b=["x.txt"]
# needs: b->a
def write(path):
    with open(path, "w") as stream:
        stream.write("x")


def read(path):
    with open(path) as stream:
        return stream.read()
