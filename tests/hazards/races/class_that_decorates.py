# tasks: a=first, b=second
class Timed:
    def __init__(self, function):
        self.function, self.calls = function, 0

    def __call__(self, *args):
        self.calls = self.calls + 1  # here
        return self.function(*args)


@Timed
def double(number):
    return 2 * number


def first():
    return double(1)


def second():
    return double(2)
