# tasks: a=flat, b=flat
row = [0]


def flat(rows):
    found = [[cell + 1 for cell in row] for row in rows]
    for row in found:
        row.append(0)
    return found
