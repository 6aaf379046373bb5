# tasks: a=deposit, b=withdraw
import threading


class Account:
    def __init__(self, balance=0):
        self.balance = balance
        self._lock = threading.Lock()

    def change(self, amount):
        with self._lock:
            if self.balance + amount < 0:
                raise ValueError("no money")
            self.balance = self.balance + amount


ACCOUNT = Account(100)


def deposit(amount):
    ACCOUNT.change(amount)


def withdraw(amount):
    ACCOUNT.change(-amount)
