# tasks: a=run, b=run
N = 0


def run():
    exec("global N; N += 1")  # here
