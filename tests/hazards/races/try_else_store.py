# tasks: a=work, b=work
N = {"n": 0}


def work(x):
    try:
        n = N["n"]
    except KeyError:
        n = 0
    else:
        n = n + 1
    N["n"] = n  # here
