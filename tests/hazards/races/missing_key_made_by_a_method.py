# tasks: a=work, b=work
class Shelves(dict):
    def __missing__(self, letter):
        made = self[letter] = []  # here
        return made


SHELVES = Shelves()


def work(title):
    SHELVES[title[0]].append(title)
