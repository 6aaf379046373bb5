# tasks: a=connect, b=connect
import threading

LOCAL = threading.local()


def connect():
    if not hasattr(LOCAL, "connection"):
        LOCAL.connection = object()
    LOCAL.uses = getattr(LOCAL, "uses", 0) + 1
    return LOCAL.uses
