# tasks: a=work, b=work
from functools import cached_property, lru_cache


class Report:
    def __init__(self, name):
        self.name = name

    @cached_property
    def rows(self):
        return []


def work(names):
    @lru_cache
    def lengths():
        return {}

    report = Report("daily")
    for name in names:
        if name not in report.rows:
            report.rows.append(name)
        lengths()[name] = lengths().get(name, 0) + 1
    return report.rows
