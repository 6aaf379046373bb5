# tasks: a=work, b=work
import _found_in_the_module_tables as tables


def work(name):
    return tables.PRICES.get(name)
