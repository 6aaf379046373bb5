# tasks: a=sample, b=sample
import random


def sample(seed):
    chance = random.Random(seed)
    return [chance.random() for _ in range(3)] + [random.random()]
