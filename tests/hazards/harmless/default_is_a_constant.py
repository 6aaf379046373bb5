# tasks: a=work, b=work
def work(rows=(), sep=", ", names=None):
    names = names or []
    names.append("x")
    return sep.join(names) + str(len(rows))
