# tasks: a=save, b=save
# args: a=["out.csv", "plain"], b=["out.csv", "plain"]
import uuid


def fresh(path):
    return f"{path}.{uuid.uuid4()}"


def save(path, how):
    while path.endswith("csv"):
        path = fresh(path)
    other = "/tmp/one" if how else fresh("/tmp/one")
    match how:
        case "plain":
            last = fresh("/tmp/two")
        case _:
            last = "/tmp/two"
    for name in (path, other, last):
        print(name)
    open(path, "w").close()
    open(other, "w").close()
    open(last, "w").close()
