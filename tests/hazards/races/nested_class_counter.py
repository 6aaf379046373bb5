# tasks: a=work, b=work
class Outer:
    class Inner:
        n = 0

    @staticmethod
    def add():
        Outer.Inner.n += 1  # here


def work(n):
    Outer.add()
    return n
