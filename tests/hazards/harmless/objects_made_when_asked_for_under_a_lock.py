# tasks: a=work, b=work
import threading


class Account:
    def __init__(self, owner):
        self.owner, self.cents = owner, 0
        self.guard = threading.Lock()

    def add(self, cents):
        with self.guard:
            before = self.cents
            self.cents = before + cents


ACCOUNTS = {}


def account(owner):
    return ACCOUNTS.setdefault(owner, Account(owner))


def work(owner):
    account(owner).add(5)
