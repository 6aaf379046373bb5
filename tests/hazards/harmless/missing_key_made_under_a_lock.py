# tasks: a=work, b=work
import threading

MAKING = threading.Lock()


class Shelves(dict):
    def __missing__(self, letter):
        made = self[letter] = []
        return made


SHELVES = Shelves()


def work(title):
    with MAKING:
        shelf = SHELVES[title[0]]
    shelf.append(title)
