# tasks: a=work, b=work
# args: a=["one"], b=["two"]
from unittest import mock

import _settings_patched_for_a_while_place as place


def work(name):
    with mock.patch.object(place, "HOST", f"{name}.example"):  # here
        return f"https://{place.HOST}/"
