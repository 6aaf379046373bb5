# tasks: a=collect, b=report
class Basket:
    items = []

    def put(self, item):
        self.items.append(item)  # here

    def total(self):
        return sum(self.items)  # here


def collect(price):
    basket = Basket()
    basket.put(price)


def report():
    return Basket().total()
