# tasks: root=begin, a=left, b=right
# needs: a->root, b->root
DEPTH = 0


def begin():
    return DEPTH


def left():
    global DEPTH
    DEPTH = DEPTH * 2  # here


def right():
    global DEPTH
    DEPTH = DEPTH + 3  # here
