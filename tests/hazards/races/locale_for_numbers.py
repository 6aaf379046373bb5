# tasks: de=german, us=american
import locale


def german(value):
    locale.setlocale(locale.LC_NUMERIC, "de_DE.UTF-8")  # here
    return value


def american(value):
    return locale.format_string("%.2f", value, grouping=True)  # here
