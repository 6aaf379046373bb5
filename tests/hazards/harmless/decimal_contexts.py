# tasks: a=w, b=w
import decimal


def w(x):
    with decimal.localcontext() as c:
        c.prec = 5
        decimal.getcontext().prec = 7
        return str(decimal.Decimal(x) + 1)
