# tasks: a=save, b=save
def save(base):
    if base:
        path = "/srv/out.csv"
    else:
        path = "/srv/out.csv"
    with open(path, "w") as stream:  # here
        stream.write("1")
