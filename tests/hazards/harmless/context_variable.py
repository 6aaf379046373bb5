# tasks: a=ask, b=ask
from contextvars import ContextVar

USER = ContextVar("user", default="nobody")


def ask(name):
    token = USER.set(name)
    try:
        return USER.get()
    finally:
        USER.reset(token)
