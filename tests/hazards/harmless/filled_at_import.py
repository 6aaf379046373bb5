# tasks: a=lookup, b=everything
SQUARES = {}
for _n in range(10):
    SQUARES[_n] = _n * _n


def lookup(n):
    return SQUARES[n]


def everything():
    return list(SQUARES.values())
