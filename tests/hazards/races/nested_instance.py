# tasks: a=work, b=work
class Shop:
    class Basket:
        def __init__(self):
            self.total = 0

        def add(self, price):
            self.total += price  # here

    def __init__(self):
        self.basket = Shop.Basket()


SHOP = Shop()


def work(price):
    SHOP.basket.add(price)
