# tasks: a=work, b=work
import multiprocessing
from concurrent.futures import ProcessPoolExecutor

DONE = 0


def child(number):
    global DONE
    DONE += number
    return DONE


def work():
    with ProcessPoolExecutor() as pool:
        first = sum(pool.map(child, range(4)))
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        second = sum(pool.imap_unordered(child, range(4)))
    process = multiprocessing.Process(target=child, args=(5,))
    process.start()
    process.join()
    return first + second
