# tasks: a=work, b=work
class Options:
    indent = 2


OPTIONS = Options()


def work(values):
    for name, value in values.items():
        setattr(OPTIONS, name, value)  # here
    return " " * OPTIONS.indent
