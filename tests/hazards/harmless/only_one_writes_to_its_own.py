# tasks: a=write, b=other
CACHE_A = {}
CACHE_B = {}


def write(k):
    if k not in CACHE_A:
        CACHE_A[k] = 1
    CACHE_A[k] += 1


def other(k):
    if k not in CACHE_B:
        CACHE_B[k] = 1
    return len(CACHE_B)
