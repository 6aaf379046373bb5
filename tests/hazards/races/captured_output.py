# tasks: a=capture, b=capture
import io
from contextlib import redirect_stdout


def capture():
    buffer = io.StringIO()
    with redirect_stdout(buffer):  # here
        print("hello")
    return buffer.getvalue()
