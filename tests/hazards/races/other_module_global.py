# tasks: a=verbose, b=quiet
import _other_module_global_settings as settings


def verbose():
    settings.LEVEL = 3  # here


def quiet():
    settings.LEVEL = 0  # here
