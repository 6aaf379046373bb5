# tasks: a=work, b=work
import copy

TEMPLATE = {"rows": [], "sum": 0}


def work(rows):
    mine = copy.deepcopy(TEMPLATE)
    mine["rows"].extend(rows)
    mine["sum"] += sum(rows)
    other = dict(TEMPLATE)
    other["sum"] = 3
    return mine
