# tasks: a=quiet, b=strict
import warnings


def quiet():
    with warnings.catch_warnings():  # here
        return 1


def strict():
    warnings.simplefilter("error")  # here
