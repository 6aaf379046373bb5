# tasks: a=work, b=work
POS = 0


def progress():
    return f"row {POS}"


def work(rows):
    global POS
    for POS in range(rows):  # here
        print(progress())
