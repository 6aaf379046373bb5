# tasks: a=prepare, b=prepare
import os


def prepare(name):
    os.makedirs("reports", exist_ok=False)  # here
    return name
