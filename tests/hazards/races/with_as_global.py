# tasks: a=work, b=work
import tempfile

OUT = None


def work(x):
    global OUT
    with tempfile.TemporaryFile() as OUT:  # here
        OUT.write(x)
