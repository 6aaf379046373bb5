# tasks: a=work, b=work
import os


def work(name):
    number = os.open("/srv/names.txt", os.O_RDONLY)
    found = os.read(number, 100)
    os.close(number)
    try:
        os.close(os.open("/srv/once", os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    except FileExistsError:
        return None
    return found
