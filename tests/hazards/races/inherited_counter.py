# tasks: a=run_a, b=run_b
class Step:
    count = 0

    def done(self):
        Step.count = Step.count + 1  # here


class Load(Step):
    def done(self):
        super().done()


def run_a():
    Load().done()


def run_b():
    Step().done()
