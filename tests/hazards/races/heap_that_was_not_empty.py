# tasks: a=work, b=work
import heapq
import threading

ADDING = threading.Lock()
TODO = [3, 1, 2]


def work():
    if TODO:
        return heapq.heappop(TODO)  # here
    return None
