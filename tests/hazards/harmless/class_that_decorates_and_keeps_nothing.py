# tasks: a=first, b=second
class Checked:
    def __init__(self, function):
        self.function = function

    def __call__(self, *args):
        calls = len(args) + 1
        return self.function(*args) if calls else None


@Checked
def double(number):
    return 2 * number


def first():
    return double(1)


def second():
    return double(2)
