# tasks: a=work, b=work
import psycopg2

DB = psycopg2.connect("x")
CUR = DB.cursor()


def work(x):
    for row in CUR:  # here
        print(row)
