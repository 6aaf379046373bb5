# tasks: a=add, b=add
from functools import cached_property


class Report:
    def __init__(self, name):
        self.name = name

    @cached_property
    def rows(self):
        return []


REPORT = Report("daily")


def add(row):
    if row not in REPORT.rows:
        REPORT.rows.append(row)  # here
