# tasks: setup=configure, job=render
CONFIG = {}


def configure():
    CONFIG["language"] = "de"  # here


def render():
    return "Guten Tag" if CONFIG["language"] == "de" else "Good day"  # here
