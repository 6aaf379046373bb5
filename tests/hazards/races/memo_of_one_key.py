# tasks: first=load, second=load
# args: first=["prices"], second=["prices"]
MEMO = {}


def load(name):
    if name not in MEMO:
        MEMO[name] = sum(map(ord, name))  # here
    return MEMO[name]
