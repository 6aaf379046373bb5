# tasks: a=bump, b=bump
# resources: counter=1 of all
N = 0


def bump():
    global N
    N += 1
