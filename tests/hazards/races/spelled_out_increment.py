# tasks: north=deposit, south=deposit
BALANCE = 100


def deposit(amount):
    global BALANCE
    current = BALANCE
    current = current + amount
    BALANCE = current  # here
    return current
