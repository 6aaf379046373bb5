# tasks: a=work, b=work
class A:
    class B:
        seen = []

        @classmethod
        def add(cls, x):
            if x not in cls.seen:
                cls.seen.append(x)  # here


def work(x):
    A.B.add(x)
