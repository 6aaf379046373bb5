# tasks: producer=produce, summary=summarise
RESULTS = []


def produce(n):
    for i in range(n):
        RESULTS.append(i * i)  # here


def summarise():
    return sum(x for x in RESULTS if x % 2)  # here
