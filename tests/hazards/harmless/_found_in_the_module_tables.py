_asked = 0
PRICES = {"bread": 3}


def __getattr__(name):
    global _asked
    _asked += 1
    raise AttributeError(name)
