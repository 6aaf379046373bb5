# tasks: a=work, b=work
class State:
    def __init__(self):
        self.row = None


STATE = State()


def work(rows):
    for STATE.row in rows:  # here
        print(STATE.row)
