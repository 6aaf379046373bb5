# tasks: book=book
# items: book=["rent", "food"]
# args: book=["{{ item }}"]
import threading

LOCKS = {"rent": threading.Lock(), "food": threading.Lock()}
SUM = 0


def book(account):
    global SUM
    with LOCKS[account]:
        SUM = SUM + len(account)  # here
