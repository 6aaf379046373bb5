# tasks: a=work, b=work
import multiprocessing

DONE = 0


def child(number):
    return number


def note(number):
    global DONE
    DONE += number  # here


def work():
    with multiprocessing.Pool(2) as pool:
        pool.apply_async(child, (1,), callback=note).get()
