# tasks: a=work, b=work
class Conn:
    pass


C = Conn()


def work(k):
    try:
        return C.base
    except AttributeError:
        print("make")
    C.base = object()  # here
