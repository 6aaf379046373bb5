# tasks: a=add, b=find
import threading

GUARD = threading.Lock()
ROUTES = {}


def add(name):
    global ROUTES
    with GUARD:
        routes = {**ROUTES, name: len(ROUTES)}
        ROUTES = routes


def find(name):
    return ROUTES.get(name)
