# tasks: build=build, test=test
import os


def build(folder):
    os.chdir(folder)  # here


def test():
    return os.listdir(".")  # here
