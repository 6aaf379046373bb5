# tasks: a=mute, b=mute
import sys
import io


def mute():
    sys.stdout = io.StringIO()  # here
