# tasks: a=collect, b=collect
items = []


def collect(items):
    items.append(1)
    items[0] += 1
    return items
