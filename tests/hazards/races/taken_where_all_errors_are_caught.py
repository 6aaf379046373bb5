# tasks: a=work, b=work
TODO = list(range(99))


def work():
    try:
        while TODO:
            print(TODO.pop())  # here
    except Exception as error:
        print(error)
