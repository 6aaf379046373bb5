# tasks: a=save, b=save
# args: a=["out/a.json"], b=["out/b.json"]
import json


def save(path):
    with open(path, "w") as stream:
        json.dump({}, stream)
