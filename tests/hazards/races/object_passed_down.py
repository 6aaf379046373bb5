# tasks: a=first, b=second
LEDGER = {}


def book(ledger, account, amount):
    ledger[account] = ledger.get(account, 0) + amount  # here


def first():
    book(LEDGER, "cash", 5)


def second():
    book(LEDGER, "cash", -5)
