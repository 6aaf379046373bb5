# tasks: a=plan, b=plan
import heapq

HEAP = []


def plan(priority, name):
    heapq.heappush(HEAP, (priority, name))  # here
