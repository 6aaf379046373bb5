# tasks: a=work, b=work
from types import SimpleNamespace
from unittest import mock


def work(name):
    place = SimpleNamespace(host="localhost")
    with mock.patch.object(place, "host", f"{name}.example"):
        return f"https://{place.host}/"
