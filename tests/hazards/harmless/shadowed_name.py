# tasks: a=count, b=count
total = 0


def count(rows):
    total = 0
    for row in rows:
        total += row
    return total
