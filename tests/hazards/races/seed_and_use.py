# tasks: a=sample, b=simulate
import random


def sample():
    random.seed(7)  # here
    return 1


def simulate():
    return [random.random() for _ in range(3)]  # here
