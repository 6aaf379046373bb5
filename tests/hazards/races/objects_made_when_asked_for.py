# tasks: a=work, b=work
class Account:
    def __init__(self, owner):
        self.owner, self.cents = owner, 0

    def add(self, cents):
        before = self.cents
        self.cents = before + cents  # here


ACCOUNTS = {}


def account(owner):
    return ACCOUNTS.setdefault(owner, Account(owner))


def work(owner):
    account(owner).add(5)
