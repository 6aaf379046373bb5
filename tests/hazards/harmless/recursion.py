# tasks: a=walk, b=walk
NAMES = ("left", "right")


def walk(node, depth=0):
    if depth > 10 or not node:
        return 0
    return 1 + sum(walk(node.get(name), depth + 1) for name in NAMES)
