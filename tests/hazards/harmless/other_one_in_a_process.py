# tasks: a=bump, b=bump
# modes: b=process
N = 0


def bump():
    global N
    N += 1
