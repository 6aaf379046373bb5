# tasks: book=book, again=book_all
# items: book=["rent", "food"]
# args: book=["{{ item }}"]
import threading

LOCKS = {"rent": threading.Lock(), "food": threading.Lock()}
ROWS = {"rent": 0, "food": 0}


def book(account):
    with LOCKS[account]:
        ROWS[account] = ROWS[account] + len(account)


def book_all():
    for account in ("rent", "food"):
        with LOCKS[account]:
            ROWS[account] = ROWS[account] + 1
