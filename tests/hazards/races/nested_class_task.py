# tasks: a=Outer.Inner.add, b=Outer.Inner.add
TOTALS = {}


class Outer:
    class Inner:
        @staticmethod
        def add(name):
            TOTALS[name] = TOTALS.get(name, 0) + 1  # here
