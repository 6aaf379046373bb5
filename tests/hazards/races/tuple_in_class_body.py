# tasks: a=work, b=work
class A:
    n, seen = 0, []


def work(x):
    if x not in A.seen:
        A.seen.append(x)  # here
