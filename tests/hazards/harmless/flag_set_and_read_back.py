# tasks: a=work, b=work
FLAGS = {"seen": False}


def work():
    FLAGS["seen"] = True
    print("seen")
    return FLAGS["seen"]
