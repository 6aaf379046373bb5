# tasks: a=save, b=save
# args: a=["/srv/out.csv"], b=["/srv/out.csv"]
from filelock import FileLock


def save(path):
    with FileLock(f"{path}.lock"):
        with open(path, "w") as stream:
            stream.write("1")
