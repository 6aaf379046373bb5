# tasks: a=work, b=work
STATE = {"row": None}


def work(rows):
    for STATE["row"], _ in enumerate(rows):  # here
        print("at work")
