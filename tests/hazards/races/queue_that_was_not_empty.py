# tasks: a=work, b=work
import queue

JOBS = queue.Queue()


def work():
    done = 0
    while not JOBS.empty():
        done += JOBS.get_nowait()  # here
    return done
