# tasks: a=plugins_a, b=plugins_b
import sys


def plugins_a(folder):
    sys.path.insert(0, folder)  # here


def plugins_b(folder):
    sys.path.insert(0, folder)  # here
