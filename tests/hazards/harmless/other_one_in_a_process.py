# tasks: a=bump, b=bump
# mode: b=process
N = 0


def bump():
    global N
    N += 1
