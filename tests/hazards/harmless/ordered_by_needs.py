# tasks: a=first, b=second
# needs: b->a
TOTAL = 0


def first():
    global TOTAL
    TOTAL += 1


def second():
    global TOTAL
    TOTAL *= 2
