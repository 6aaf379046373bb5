# tasks: a=load, b=load
# args: a=["/srv/in.csv", "r"], b=["/srv/in.csv", "rb"]
def load(path, mode="w"):
    with open(path, mode) as stream:
        return stream.read()
