# tasks: a=load, b=load
# args: a=["in.json"], b=["in.json"]
import json
from pathlib import Path


def load(path):
    return json.loads(Path(path).read_text()) or json.load(open(path))
