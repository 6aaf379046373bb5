# tasks: load=load
# items: load=["prices", "stocks"]
# args: load=["{{ item }}"]
MEMO = {}


def load(name):
    if name not in MEMO:
        MEMO[name] = sum(map(ord, name))
    return MEMO[name]
