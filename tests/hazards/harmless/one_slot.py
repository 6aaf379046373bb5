# tasks: a=bump, b=bump
# threads: 1
N = 0


def bump():
    global N
    N += 1
