# tasks: a=work, b=work
from functools import lru_cache


class Repo:
    @lru_cache(maxsize=1)
    def index(self):
        return {}


REPO = Repo()


def work(x):
    index = REPO.index()
    if x not in index:
        index[x] = len(index)  # here
