# tasks: a=price, b=price
import threading

LOCK = threading.Lock()
PRICES = {}


def price(symbol):
    with LOCK:
        if symbol in PRICES:
            return PRICES[symbol]
    value = len(symbol) * 1.5
    with LOCK:
        PRICES[symbol] = value
    return value
