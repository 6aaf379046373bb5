# tasks: a=save, b=copy_of
# args: a=["out/data.json"], b=["out/data.json"]
import json


def save(path):
    with open(path, "w") as stream:  # here
        json.dump({}, stream)


def copy_of(source):
    return _text(source)


def _text(name):
    with open(name) as stream:  # here
        return stream.read()
