# tasks: a=load, b=load
from _helper_in_package_of_three_steps import prepare


def load(name):
    return prepare(name)
