# tasks: reader=query, writer=store
import sqlite3

_connection = None


def connection():
    global _connection
    if _connection is None:
        _connection = sqlite3.connect(":memory:", check_same_thread=False)  # here
    return _connection


def query():
    return str(connection())


def store():
    return str(connection())
