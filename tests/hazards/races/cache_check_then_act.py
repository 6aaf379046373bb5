# tasks: a=price, b=price
import json

PRICES = {}


def price(symbol):
    if symbol not in PRICES:
        PRICES[symbol] = json.loads("1.5")  # here
    return PRICES[symbol]
