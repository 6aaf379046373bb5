# tasks: a=produce, b=consume
import queue

WORK = queue.Queue(maxsize=10)


def produce(n):
    for i in range(n):
        WORK.put(i)
    WORK.put(None)


def consume():
    found = []
    while (item := WORK.get()) is not None:
        found.append(item)
    return found
