# tasks: a=w, b=w
import collections

DQ = collections.deque()
D = {}


def w(i):
    DQ.append(i)
    DQ.append(2)
    D[i] = [i]
    D[i + 1] = 3
    D.pop(i, None)
    return D.get(i)
