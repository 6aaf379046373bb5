# tasks: a=work, b=work
from multiprocessing.pool import ThreadPool

DONE = 0


def child(number):
    global DONE
    DONE += number  # here
    return DONE


def work():
    with ThreadPool(2) as pool:
        return sum(pool.map(child, range(4)))
