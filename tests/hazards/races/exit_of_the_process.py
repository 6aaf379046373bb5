# tasks: a=crash, b=calm
import os


def crash():
    os._exit(3)  # here


def calm():  # here
    return 1
