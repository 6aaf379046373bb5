# tasks: a=save, b=save
# args: a=["/srv/out"], b=["/srv/out"]
import os


def save(folder):
    target = os.path.join(folder, "summary.csv")
    with open(target, "w") as stream:  # here
        stream.write("1")
