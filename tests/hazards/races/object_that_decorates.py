# tasks: a=first, b=second
class Limit:
    def __init__(self, most):
        self.most, self.calls = most, 0

    def __call__(self, function):
        def limited(*args):
            self.calls += 1  # here
            return function(*args) if self.calls < self.most else None

        return limited


@Limit(100)
def double(number):
    return 2 * number


def first():
    return double(1)


def second():
    return double(2)
