# tasks: secret=write_secret, public=write_public
import os


def write_secret(text):
    before = os.umask(0o077)  # here
    os.umask(before)
    return text


def write_public():
    with open("/tmp/public.txt", "w") as stream:  # here
        stream.write("hello")
