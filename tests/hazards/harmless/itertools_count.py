# tasks: a=new_id, b=new_id
import itertools

IDS = itertools.count(1)


def new_id():
    return f"id-{next(IDS)}"
