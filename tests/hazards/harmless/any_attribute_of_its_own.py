# tasks: a=work, b=work
class Options:
    indent = 2


def work(values):
    options = Options()
    for name, value in values.items():
        setattr(options, name, value)
    return " " * options.indent
