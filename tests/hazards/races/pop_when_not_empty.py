# tasks: a=work, b=work
JOBS = ["a", "b", "c"]


def work():
    done = 0
    while JOBS:
        JOBS.pop()  # here
        done += 1
    return done
