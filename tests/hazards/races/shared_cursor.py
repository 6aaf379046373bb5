# tasks: a=work, b=work
import sqlite3

DB = sqlite3.connect("base.db", check_same_thread=False)
CUR = DB.cursor()


def work(name):
    CUR.execute("select * from rows where name = ?", (name,))  # here
    return CUR.fetchall()
