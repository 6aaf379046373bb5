# tasks: a=group, b=group
GROUPS = {}


def group(key, value):
    GROUPS.setdefault(key, []).append(value)
