# tasks: a=work, b=work
class Votes:
    def __init__(self):
        self.by_name = {}

    def __getitem__(self, name):
        return self.by_name.get(name.strip(), 0)

    def __setitem__(self, name, count):
        self.by_name[name.strip()] = count  # here


VOTES = Votes()


def work(name):
    VOTES[name] += 1
