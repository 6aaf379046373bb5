# tasks: a=work, b=work
import _made_when_the_module_is_asked_tables as tables


def work(name):
    return tables.PRICES.get(name)
