# tasks: a=work, b=work
import os


def work(line):
    number = os.open("/srv/log.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)  # here
    os.write(number, line)
    os.close(number)
