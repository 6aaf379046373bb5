# tasks: a=work, b=work
import locale


def work():
    return locale.setlocale(locale.LC_TIME)
