# tasks: a=work, b=work
import queue

JOBS = queue.Queue()


def work():
    done = 0
    while not JOBS.empty():
        try:
            done += JOBS.get_nowait()
        except queue.Empty:
            break
    return done
