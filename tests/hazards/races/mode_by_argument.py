# tasks: a=save, b=save
# args: a=["/srv/out.csv", "a"], b=["/srv/out.csv", "a"]
def save(path, mode):
    with open(path, mode) as stream:  # here
        stream.write("1")
