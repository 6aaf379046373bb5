# tasks: a=add, b=find
ROUTES = {}


def add(name):
    global ROUTES
    routes = {**ROUTES, name: len(ROUTES)}
    ROUTES = routes  # here


def find(name):
    return ROUTES.get(name)  # here
