# tasks: a=work, b=work
import sqlite3
import threading

LOCK = threading.Lock()
DB = sqlite3.connect("base.db", check_same_thread=False)
CUR = DB.cursor()


def work(name):
    with LOCK:
        CUR.execute("select * from rows where name = ?", (name,))
        found = CUR.fetchall()
    with sqlite3.connect("other.db") as base:
        cursor = base.cursor()
        cursor.executemany("insert into rows values (?)", found)
