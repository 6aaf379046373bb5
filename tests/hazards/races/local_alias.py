# tasks: a=push, b=push
STACK = {"depth": 0, "items": []}


def push(item):
    stack = STACK
    stack["depth"] = stack["depth"] + 1  # here
    return item
