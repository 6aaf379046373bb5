# tasks: a=work, b=other
FLAGS = {"seen": False}


def work():
    FLAGS["seen"] = True  # here


def other():
    return FLAGS["seen"]  # here
