# tasks: a=work, b=work
JOBS = []


def work(job):
    for other in JOBS:
        if other == job:
            break
    else:
        JOBS.append(job)  # here
