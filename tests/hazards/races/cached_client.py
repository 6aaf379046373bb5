# tasks: a=work, b=work
import functools


class Client:
    def __init__(self):
        self.sent = 0

    def send(self, n):
        self.sent += 1  # here
        return n


@functools.cache
def client():
    return Client()


def work(n):
    return client().send(n)
