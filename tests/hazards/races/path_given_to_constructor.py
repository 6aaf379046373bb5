# tasks: a=main, b=main
import csv


class Writer:
    def __init__(self, path):
        self.path = path

    def put(self, row):
        with open(self.path, "a") as f:  # here
            csv.writer(f).writerow(row)


def main(row):
    Writer("out.csv").put(row)
