# tasks: adder=add, dumper=dump
import json

SESSIONS = {}


def add(user):
    SESSIONS[user] = {"user": user}  # here


def dump():
    return json.dumps(SESSIONS)  # here
