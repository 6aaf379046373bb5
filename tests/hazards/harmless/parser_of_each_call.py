# tasks: a=w, b=w
import argparse


def parse(argv=None):
    p = argparse.ArgumentParser()
    p.add_argument("x")
    p.prog = "x"
    return p.parse_args(argv)


def w(a):
    o = parse(a)
    o.x += 1
    return o.x
